"""Erasing a person: nothing of them is left in account, nobody else's goes, and the others are told once."""

import asyncio
from typing import Any

import orjson
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from petpro.account.v1 import operations_pb2
from petpro_account import erasure, password_resets, sessions, store
from petpro_account.domain import BadCredentials
from services.account.tests.people import PASSWORD, AccountService, Headers, Person, refusal
from services.account.tests.test_operations import act, with_role

SARI, BUDI = "sari@petpro.example", "budi@petpro.example"
EVERYTHING = """
    SELECT string_agg(row, ' ') FROM (
        SELECT CAST(users AS text) AS row FROM users UNION ALL SELECT CAST(pets AS text) FROM pets
        UNION ALL SELECT encode(reply, 'escape') FROM idempotency_keys
        UNION ALL SELECT encode(payload, 'escape') FROM outbox
        UNION ALL SELECT CAST(sessions AS text) FROM sessions) AS rows
"""


async def erase(account: AccountService, person: Person, password: str = PASSWORD, more: Headers = ()) -> None:
    request = pb.EraseCurrentUserRequest(password=password)
    await account.accounts.EraseCurrentUser(request, metadata=(*person.headers, *more))


async def why_not(call: Any) -> str:
    with pytest.raises(aio.AioRpcError) as fault:
        await call
    return refusal(fault.value).reason


async def told(account: AccountService, event_type: str) -> list[dict[str, Any]]:
    statement = text("SELECT payload FROM outbox WHERE subject = :subject ORDER BY id")
    async with account.database.reading() as tx:
        found = await tx.execute(statement, {"subject": f"petpro.events.{event_type}"})
    return [orjson.loads(payload) for payload in found.scalars()]


async def test_nothing_is_left_by_which_anybody_would_know_them(account: AccountService) -> None:
    once = (("idempotency-key", "once"),)
    filled = pb.CreateUserRequest(
        email=SARI, password=PASSWORD, full_name="Sari Wulandari", phone_number="+628111222333"
    )
    user = (await account.accounts.CreateUser(filled, metadata=once)).user
    sari, budi = Person(user, await account.sign_in(SARI)), await account.person(BUDI, full_name="Budi Santoso")
    ani, chandra = [await with_role(account, f"{name}@petpro.example", "admin") for name in ("ani", "chandra")]
    pet = await account.add_pet(sari, "Miko", breed="Persia", microchip_id="985112003")
    await account.add_pet(budi, "Rex")
    edit = pb.UpdateCurrentUserRequest(user=pb.User(full_name="Sari W. Lestari"))
    await account.accounts.UpdateCurrentUser(edit, metadata=(*sari.headers, *once))
    await act(account, ani, "UnlockSignIn", sari.id, request_id="seen by Ani")
    for who in (ani, chandra):
        neutered = pb.UpdatePetRequest(pet_id=pet.id, pet=pb.Pet(gender=pb.GENDER_FEMALE))
        await account.pets.UpdatePet(neutered, metadata=(*who.headers, *once))
    await act(account, ani, "SetUserRole", chandra.id, role=pb.ROLE_CUSTOMER)
    await why_not(account.sign_in(SARI, "wrong"))
    async with account.database.transaction() as tx:
        await password_resets.ask(tx, SARI)

    await erase(account, sari)

    async with account.database.reading() as tx:
        left = (await tx.execute(text(EVERYTHING))).scalar_one()
        counted = await tx.execute(
            text("""
            SELECT 1 FROM sign_in_failures UNION ALL SELECT 1 FROM password_resets
            UNION ALL SELECT 1 FROM email_verifications WHERE user_id = :sari
        """),
            {"sari": sari.id},
        )
    assert not [
        word
        for word in ("sari@", "Wulandari", "Lestari", "Miko", "Persia", "985112003", "+628111222333")
        if word in left
    ]
    assert all(word in left for word in (BUDI, "Budi Santoso", "Rex"))
    assert counted.all() == []
    assert [(event["user_id"], event["version"]) for event in await told(account, "user.erased")] == [(sari.user.id, 3)]
    assert [(event["pet_id"], event["is_deleted"]) for event in await told(account, "pet.changed")][-1] == (
        pet.id,
        True,
    )


async def test_they_are_signed_out_nobody_finds_them_and_the_address_is_free(account: AccountService) -> None:
    sari = await account.person(SARI)
    pet = await account.add_pet(sari)
    await erase(account, sari)

    assert await why_not(account.refresh(sari.tokens.refresh_token)) == "BAD_REFRESH_TOKEN"
    assert await why_not(account.sign_in(SARI)) == "BAD_CREDENTIALS"
    assert await why_not(account.sign_in(f"{sari.id}@erased.invalid", "")) in ("BAD_CREDENTIALS", "INVALID_REQUEST")
    as_booking = account.as_service("booking")
    assert await why_not(account.accounts.GetUser(pb.GetUserRequest(user_id=sari.user.id), metadata=as_booking)) == (
        "USER_NOT_FOUND"
    )
    assert await why_not(account.pets.GetPet(pb.GetPetRequest(pet_id=pet.id), metadata=as_booking)) == "PET_NOT_FOUND"
    assert await why_not(account.add_pet(sari, "Tofu")) == "USER_NOT_FOUND", "though the token is good for a while yet"
    again = await account.person(SARI)
    assert again.id != sari.id


async def test_twice_is_once_and_a_wrong_password_counts_as_at_the_door(account: AccountService) -> None:
    sari = await account.person(SARI)
    assert await why_not(erase(account, sari, "wrong")) == "BAD_CREDENTIALS"
    await asyncio.gather(*(erase(account, sari) for _ in range(4)), return_exceptions=True)
    await erase(account, sari, more=(("idempotency-key", "the answer was lost"),))
    assert len(await told(account, "user.erased")) == 1


@pytest.mark.parametrize("role", ["clinic", "admin"])
async def test_customers_alone_are_erased(account: AccountService, role: str) -> None:
    dokter, ani = await with_role(account, SARI, role), await with_role(account, BUDI, "admin")
    assert await why_not(erase(account, dokter)) == "NOT_A_CUSTOMER"
    assert await why_not(by_ani(account, ani, dokter)) == "NOT_A_CUSTOMER"
    await act(account, ani, "SetUserRole", dokter.id, role=pb.ROLE_CUSTOMER)
    await by_ani(account, ani, dokter)


async def test_a_forgotten_password_at_the_same_moment_waits_for_the_erasure_and_opens_nothing(
    account: AccountService,
) -> None:
    sari = await account.person(SARI)

    async def ask() -> None:
        async with account.database.transaction() as tx:
            await password_resets.ask(tx, SARI)

    await ask()
    async with account.database.transaction() as tx:
        await tx.execute(text("DELETE FROM password_resets"))
    async with account.database.transaction() as tx:
        [user] = (await store.lock_users(tx, sari.id, sari.id)).values()
        late = asyncio.create_task(ask())
        await asyncio.sleep(0.2)
        assert not late.done()
        await erasure.erase(tx, user)
    await late
    async with account.database.reading() as tx:
        assert (await tx.execute(text("SELECT FROM password_resets"))).all() == []


async def by_ani(account: AccountService, ani: Person, who: Person, **more: Any) -> operations_pb2.EraseUserResponse:
    request = operations_pb2.EraseUserRequest(user_id=who.user.id, reason="asks by letter, ticket 45", **more)
    return await account.operations.EraseUser(request, metadata=ani.headers)


async def test_an_administrator_erases_who_asks_by_letter_and_has_it_told_again(account: AccountService) -> None:
    sari, ani = await account.person(SARI), await with_role(account, BUDI, "admin")
    await act(account, ani, "SuspendUser", sari.id)

    foreseen = await by_ani(account, ani, sari, dry_run=True)
    assert (foreseen.user.account_status, foreseen.user.full_name) == ("erased", "Erased")
    assert await told(account, "user.erased") == []
    done = await by_ani(account, ani, sari)
    await by_ani(account, ani, sari)

    assert done.user.email == foreseen.user.email == f"{sari.id}@erased.invalid"
    assert len(await told(account, "user.erased")) == 2
    async with account.database.reading() as tx:
        kept = (await tx.execute(text("SELECT operator, verb FROM user_operations WHERE verb = 'erase'"))).all()
    assert [tuple(row) for row in kept] == [(str(ani.id), "erase")] * 2
    budi = await account.person("chandra@petpro.example")
    assert await why_not(by_ani(account, budi, sari)) == "FORBIDDEN"


async def test_a_sign_in_a_pet_and_another_password_at_the_same_moment_come_before_or_are_refused(
    account: AccountService,
) -> None:
    sari = await account.person(SARI)
    async with account.database.transaction() as tx:
        attempt = await sessions.begin(tx, SARI)
    assert attempt.credentials
    async with account.database.transaction() as tx:
        [user] = (await store.lock_users(tx, sari.id, sari.id)).values()
        late = asyncio.create_task(account.add_pet(sari, "Tofu"))
        await asyncio.sleep(0.2)
        assert not late.done()
        await erasure.erase(tx, user)
    assert await why_not(late) == "USER_NOT_FOUND"
    with pytest.raises(BadCredentials):
        async with account.database.transaction() as tx:
            await sessions.succeed(tx, attempt, attempt.credentials, None)
    with pytest.raises(BadCredentials):
        async with account.database.transaction() as tx:
            await erasure.erase_oneself(tx, attempt, attempt.credentials)
