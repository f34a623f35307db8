"""Changing a password: who knows only the old one is out."""

import asyncio

import grpc
import orjson
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from petpro_account import sessions
from petpro_account.domain import MAX_FAILURES, BadCredentials, TooManySignIns
from services.account.tests.people import PASSWORD, AccountService, Headers, Person, refusal

SARI = "sari@petpro.example"
NEW = "anjing-hitam-di-teras"


async def change(
    account: AccountService, person: Person, current: str = PASSWORD, new: str = NEW, more: Headers = ()
) -> None:
    request = pb.ChangePasswordRequest(current_password=current, new_password=new)
    await account.accounts.ChangePassword(request, metadata=(*person.headers, *more))


async def why_not(account: AccountService, person: Person, **said: object) -> str:
    with pytest.raises(aio.AioRpcError) as fault:
        await change(account, person, **said)  # type: ignore[arg-type]
    return refusal(fault.value).reason


async def test_from_then_on_only_the_new_one_signs_in_and_all_sessions_have_ended(account: AccountService) -> None:
    sari = await account.person(SARI)
    elsewhere = await account.sign_in(SARI)
    await change(account, sari)

    for refresh_token in (sari.tokens.refresh_token, elsewhere.refresh_token):
        with pytest.raises(aio.AioRpcError) as fault:
            await account.refresh(refresh_token)
        assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"
    with pytest.raises(aio.AioRpcError) as fault:
        await account.sign_in(SARI)
    assert refusal(fault.value).reason == "BAD_CREDENTIALS"
    tokens = await account.sign_in(SARI, NEW)
    async with account.database.reading() as tx:
        told = await tx.execute(
            text("SELECT payload FROM outbox WHERE subject = 'petpro.events.user.password_changed'")
        )
    assert [orjson.loads(payload)["user_id"] for payload in told.scalars()] == [sari.user.id]
    assert (await account.refresh(tokens.refresh_token)).access_token


async def test_a_thief_of_an_access_token_guesses_no_better_than_at_the_door(account: AccountService) -> None:
    sari = await account.person(SARI)
    guesses = [await why_not(account, sari, current=f"guess-{number}") for number in range(11)]
    assert guesses == ["BAD_CREDENTIALS"] * 10 + ["TOO_MANY_SIGN_INS"]
    assert await why_not(account, sari) == "TOO_MANY_SIGN_INS"
    with pytest.raises(aio.AioRpcError) as fault:
        await account.sign_in(SARI)
    assert refusal(fault.value).reason == "TOO_MANY_SIGN_INS"


async def test_who_lost_the_answer_asks_again(account: AccountService) -> None:
    sari = await account.person(SARI)
    once = (("idempotency-key", "once"),)
    await change(account, sari, more=once)
    await change(account, sari, more=once)
    assert await why_not(account, sari, more=once, new="another-password") == "REQUEST_ID_REUSED"
    assert await why_not(account, sari) == "BAD_CREDENTIALS"
    assert (await account.sign_in(SARI, NEW)).access_token


async def test_of_two_changes_at_once_one_is_made(account: AccountService) -> None:
    sari = await account.person(SARI)
    wanted = [f"{NEW}-{number}" for number in range(4)]
    changes = (change(account, sari, new=password) for password in wanted)
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    [kept] = [password for password, fault in zip(wanted, outcomes, strict=True) if fault is None]
    assert (await account.sign_in(SARI, kept)).access_token


async def test_a_sign_in_that_checked_the_old_one_comes_too_late(account: AccountService) -> None:
    sari = await account.person(SARI)
    async with account.database.transaction() as tx:
        attempt = await sessions.begin(tx, SARI)
    await change(account, sari)
    assert attempt.credentials
    with pytest.raises(BadCredentials):
        async with account.database.transaction() as tx:
            await sessions.succeed(tx, attempt, attempt.credentials, None)


async def test_a_right_guess_among_many_that_are_made_at_once_comes_too_late(account: AccountService) -> None:
    """It was found right before the wrong ones had closed the address."""
    await account.register(SARI)
    async with account.database.transaction() as tx:
        attempt = await sessions.begin(tx, SARI)
    assert attempt.credentials
    for _ in range(MAX_FAILURES):
        async with account.database.transaction() as tx:
            await sessions.fail(tx, attempt)
    with pytest.raises(TooManySignIns):
        async with account.database.transaction() as tx:
            await sessions.change_password(tx, attempt, attempt.credentials, "the hash of a password")


async def test_services_have_no_password_and_short_ones_are_refused(account: AccountService) -> None:
    sari = await account.person(SARI)
    assert await why_not(account, sari, new="short") == "INVALID_REQUEST"
    request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW)
    with pytest.raises(aio.AioRpcError) as fault:
        await account.accounts.ChangePassword(request, metadata=account.as_service("booking"))
    assert fault.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
