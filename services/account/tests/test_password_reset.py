"""A way back for who forgot their password; whoever asks for one learns nothing."""

import asyncio
from typing import Any
from uuid import UUID

import grpc
import orjson
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from petpro_account import password_resets
from petpro_account.domain import MAX_RESETS, RESET_ANSWER_SECONDS, BadResetToken
from petpro_account.passwords import Passwords
from petpro_account.tokens import token_hash
from petpro_common.ids import new_id
from petpro_common.messaging.backlog import Backlog
from petpro_common.testing import logged
from services.account.tests.people import PASSWORD, AccountService, Headers, bearer, refusal

SARI, NOBODY = "sari@petpro.example", "nobody@petpro.example"
NEW = "anjing-hitam-di-teras"


async def ask(account: AccountService, email: str = SARI, more: Headers = ()) -> None:
    await account.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=email), metadata=more)


async def resets_told(account: AccountService) -> list[dict[str, Any]]:
    """The events from which notification learns that a mail is to be sent, oldest first."""
    found = await rows(
        account, "SELECT payload FROM outbox WHERE subject = 'petpro.events.user.password_reset_requested' ORDER BY id"
    )
    return [orjson.loads(row.payload) for row in found]


async def token_of(account: AccountService, reset_id: str) -> str:
    """What notification asks for when it is about to send the mail."""
    request = pb.CreatePasswordResetTokenRequest(reset_id=reset_id)
    return (await account.accounts.CreatePasswordResetToken(request, metadata=account.as_service("notification"))).token


async def mailed(account: AccountService, email: str = SARI) -> str:
    """The token in the mail that somebody asked for."""
    await ask(account, email)
    return await token_of(account, (await resets_told(account))[-1]["reset_id"])


async def reset(account: AccountService, token: str, new: str = NEW, more: Headers = ()) -> None:
    await account.accounts.ResetPassword(pb.ResetPasswordRequest(token=token, new_password=new), metadata=more)


async def why_not(account: AccountService, token: str, new: str = NEW, more: Headers = ()) -> str:
    with pytest.raises(aio.AioRpcError) as fault:
        await reset(account, token, new, more)
    return refusal(fault.value).reason


async def rows(account: AccountService, statement: str) -> list[Any]:
    async with account.database.transaction() as tx:
        return list((await tx.execute(text(statement))).all())


async def change(account: AccountService, statement: str) -> None:
    async with account.database.transaction() as tx:
        await tx.execute(text(statement))


async def test_the_token_of_the_mail_sets_a_password_once_and_ends_all_sessions(account: AccountService) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, "SARI@petpro.example")
    await reset(account, token)
    with pytest.raises(aio.AioRpcError) as fault:
        await account.refresh(sari.tokens.refresh_token)
    assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"
    with pytest.raises(aio.AioRpcError) as fault:
        await account.sign_in(SARI)
    assert refusal(fault.value).reason == "BAD_CREDENTIALS"
    assert (await account.sign_in(SARI, NEW)).access_token
    told = await rows(account, "SELECT payload FROM outbox WHERE subject = 'petpro.events.user.password_changed'")
    assert [orjson.loads(row.payload)["user_id"] for row in told] == [sari.user.id]
    assert await why_not(account, token, "another-password") == "BAD_RESET_TOKEN"


async def test_who_was_locked_out_by_wrong_passwords_is_let_in_again(account: AccountService) -> None:
    await account.register(SARI)
    for number in range(10):
        with pytest.raises(aio.AioRpcError):
            await account.sign_in(SARI, f"guess-{number}")
    await reset(account, await mailed(account))
    assert (await account.sign_in(SARI, NEW)).access_token


async def test_an_address_that_nobody_has_is_answered_alike_and_as_late(account: AccountService) -> None:
    await account.register(SARI)
    await account.register("budi@petpro.example")
    await change(account, "UPDATE users SET account_status = 'suspended' WHERE email LIKE 'budi%'")
    loop = asyncio.get_running_loop()
    for address in (SARI, NOBODY, "budi@petpro.example", "no address", "\N{NULL}@petpro.example"):
        asked_at = loop.time()
        await ask(account, address)
        assert loop.time() - asked_at >= RESET_ANSWER_SECONDS - 0.01
    assert len(await resets_told(account)) == 1
    assert (await rows(account, "SELECT count(*) FROM password_reset_requests"))[0].count == 5


async def test_what_takes_longer_cannot_be_told_from_the_answer_either(account: AccountService) -> None:
    asked_at = asyncio.get_running_loop().time()
    async with account.database.transaction() as tx:
        await password_resets.ask(tx, SARI)
        late = asyncio.create_task(ask(account))
        await waiting_for_a_lock(account)
        await asyncio.sleep(RESET_ANSWER_SECONDS * 1.2)
    await late
    assert asyncio.get_running_loop().time() - asked_at >= RESET_ANSWER_SECONDS * 2 - 0.01


async def test_a_full_outbox_tells_nobody_who_has_an_account(account: AccountService) -> None:
    await account.register(SARI)
    backlog = Backlog(account.database, 1)
    await backlog.look()
    assert backlog.is_full
    await ask(account, SARI)
    await ask(account, NOBODY)
    assert len(await resets_told(account)) == 1


async def test_after_a_few_no_more_mails_are_sent_while_the_last_is_good(account: AccountService) -> None:
    await account.register(SARI)
    await asyncio.gather(*(ask(account, spelling) for spelling in (SARI, "SARI@petpro.example") * MAX_RESETS))
    assert len(told := await resets_told(account)) == MAX_RESETS
    await let_pass(account, 29)
    await ask(account)
    assert await token_of(account, told[-1]["reset_id"]), "what was asked for too often leaves the last mail good"
    await let_pass(account, 1)
    await mailed(account)
    assert len(await resets_told(account)) == MAX_RESETS + 1


async def let_pass(account: AccountService, minutes: int) -> None:
    for table, column in (("password_resets", "expires_at"), ("password_reset_requests", "window_started_at")):
        await change(account, f"UPDATE {table} SET {column} = {column} - interval '{minutes} minutes'")  # noqa: S608


@pytest.mark.parametrize("claims", [{}, {"sub": "notification"}, {"sub": "notification", "iss": "petpro:notification"}])
async def test_no_service_but_notification_has_the_token_whatever_it_says_that_it_is(
    account: AccountService, claims: dict[str, str]
) -> None:
    """Whoever has booking's key could take over any account, the administrator's too."""
    await account.register(SARI)
    await ask(account)
    [told] = await resets_told(account)
    request = pb.CreatePasswordResetTokenRequest(reset_id=told["reset_id"])
    for service in ("booking", "catalog", "payment"):
        forged = bearer(account.keys.service(service, **claims))
        with pytest.raises(aio.AioRpcError) as fault:
            await account.accounts.CreatePasswordResetToken(request, metadata=forged)
        assert refusal(fault.value).reason == ("UNAUTHENTICATED" if claims else "FORBIDDEN")
    assert await token_of(account, told["reset_id"])


async def test_the_newest_mail_alone_counts_and_each_copy_of_it(account: AccountService) -> None:
    await account.register(SARI)
    old = await mailed(account)
    first = await mailed(account)
    [replaced, newest] = await resets_told(account)
    second = await token_of(account, newest["reset_id"])
    with pytest.raises(aio.AioRpcError) as fault:
        await token_of(account, replaced["reset_id"])
    assert refusal(fault.value).reason == "PASSWORD_RESET_NOT_FOUND"
    assert await why_not(account, old) == "BAD_RESET_TOKEN"
    for wrong in (f"{first}x", f"{old[:32]}{first[32:]}", f"{first[:32]}{old[32:]}", first[:32], first[32:], "wrong"):
        assert await why_not(account, wrong) == "BAD_RESET_TOKEN"
    await reset(account, first)
    assert await why_not(account, second) == "BAD_RESET_TOKEN"


@pytest.mark.parametrize(
    "over",
    [
        "UPDATE password_resets SET expires_at = expires_at - interval '30 minutes'",
        "UPDATE users SET account_status = 'suspended'",
        "UPDATE users SET account_status = 'erased'",
    ],
)
async def test_half_an_hour_later_or_with_the_account_closed_it_opens_nothing(
    account: AccountService, over: str
) -> None:
    await account.register(SARI)
    token = await mailed(account)
    [told] = await resets_told(account)
    await change(account, over)
    assert await why_not(account, token) == "BAD_RESET_TOKEN"
    with pytest.raises(BadResetToken):
        async with account.database.transaction() as tx:
            await password_resets.reset(tx, token, "the hash of a password")
    with pytest.raises(aio.AioRpcError) as fault:
        await token_of(account, told["reset_id"])
    assert refusal(fault.value).reason == "PASSWORD_RESET_NOT_FOUND"


async def test_who_knew_the_password_after_all_needs_the_mail_no_more(account: AccountService) -> None:
    sari = await account.person(SARI)
    token = await mailed(account)
    changed = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW)
    await account.accounts.ChangePassword(changed, metadata=sari.headers)
    assert await why_not(account, token, "another-password") == "BAD_RESET_TOKEN"


async def test_of_two_at_once_with_one_token_one_sets_the_password(account: AccountService) -> None:
    await account.register(SARI)
    token = await mailed(account)
    wanted = [f"{NEW}-{number}" for number in range(4)]
    outcomes = await asyncio.gather(*(reset(account, token, new) for new in wanted), return_exceptions=True)
    [kept] = [new for new, fault in zip(wanted, outcomes, strict=True) if fault is None]
    assert (await account.sign_in(SARI, kept)).access_token


async def test_who_comes_second_waits_for_the_first_and_has_set_nothing(
    account: AccountService, passwords: Passwords
) -> None:
    await account.register(SARI)
    token = await mailed(account)
    mine, other = await passwords.hash(NEW), await passwords.hash("another-password")

    async def second() -> None:
        async with account.database.transaction() as tx:
            await password_resets.reset(tx, token, other)

    async with account.database.transaction() as tx:
        await password_resets.reset(tx, token, mine)
        late = asyncio.create_task(second())
        await waiting_for_a_lock(account)
    with pytest.raises(BadResetToken):
        await late
    assert (await account.sign_in(SARI, NEW)).access_token


async def waiting_for_a_lock(account: AccountService) -> None:
    blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not await rows(account, blocked):
        await asyncio.sleep(0.01)


async def test_no_table_and_no_log_holds_a_token(account: AccountService) -> None:
    await account.register(SARI)
    with logged() as lines:
        token = await mailed(account)
        await why_not(account, token, "short")
        await why_not(account, f"{token}x")
        await reset(account, token, more=(("idempotency-key", "once"),))
    assert token not in str(lines)
    tables = await rows(account, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    kept = [await rows(account, f"SELECT t::text FROM {table.tablename} AS t") for table in tables]  # noqa: S608
    assert len(kept) > 10
    assert token not in str(kept)
    assert token.encode().hex() not in str(kept)


async def test_it_is_kept_hashed_until_another_is_asked_for(account: AccountService) -> None:
    await account.register(SARI)
    token = await mailed(account)
    for expected in ([token_hash(token)], []):
        [kept] = await rows(account, "SELECT token_hashes FROM password_resets")
        assert [bytes(each) for each in kept.token_hashes] == expected
        await ask(account)


async def test_nobody_but_notification_has_a_token_made(account: AccountService) -> None:
    sari = await account.person(SARI)
    await change(account, "UPDATE users SET role = 'admin'")
    admin = await account.sign_in(SARI)
    await ask(account)
    [told] = await resets_told(account)
    request = pb.CreatePasswordResetTokenRequest(reset_id=told["reset_id"])
    callers: list[Headers] = [sari.headers, (("authorization", f"Bearer {admin.access_token}"),), ()]
    for caller in (*callers, account.as_service("booking")):
        with pytest.raises(aio.AioRpcError) as fault:
            await account.accounts.CreatePasswordResetToken(request, metadata=caller)
        assert fault.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
    with pytest.raises(aio.AioRpcError) as fault:
        await token_of(account, str(new_id()))
    assert refusal(fault.value).reason == "PASSWORD_RESET_NOT_FOUND"
    assert UUID(told["user_id"]) == sari.id


async def test_a_short_password_leaves_the_token_good(account: AccountService) -> None:
    await account.register(SARI)
    token = await mailed(account)
    assert await why_not(account, token, "short") == "INVALID_REQUEST"
    await reset(account, token)
