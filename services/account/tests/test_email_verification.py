"""Whose an address is: who uses a link that was mailed there, once and in time, has it."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import orjson
import pytest
from grpc import aio

from petpro.account.v1 import account_pb2 as pb
from petpro_account import users
from petpro_account.domain import MAX_VERIFICATIONS
from petpro_account.tokens import token_hash
from petpro_common.ids import new_id
from petpro_common.messaging.backlog import Backlog
from petpro_common.testing import logged
from services.account.tests import test_password_reset as forgotten
from services.account.tests.people import AccountService, Headers, Person, refusal
from services.account.tests.test_erasure import erase
from services.account.tests.test_operations import act, with_role
from services.account.tests.test_password_reset import change, rows

SARI, BUDI = "sari@petpro.example", "budi@petpro.example"
ONCE = (("idempotency-key", "once"),)


async def ask(account: AccountService, who: Person, more: Headers = ()) -> pb.User:
    """Asks for one more mail."""
    request = pb.RequestEmailVerificationRequest()
    reply = await account.accounts.RequestEmailVerification(request, metadata=(*who.headers, *more))
    return reply.user


async def told(account: AccountService) -> list[dict[str, Any]]:
    """The events from which notification learns that a mail is to be sent, oldest first."""
    found = await rows(
        account,
        "SELECT payload FROM outbox WHERE subject = 'petpro.events.user.email_verification_requested' ORDER BY id",
    )
    return [orjson.loads(row.payload) for row in found]


async def token_of(account: AccountService, verification_id: str) -> str:
    """What notification asks for when it is about to send the mail."""
    request = pb.CreateEmailVerificationTokenRequest(verification_id=verification_id)
    reply = await account.accounts.CreateEmailVerificationToken(request, metadata=account.as_service("notification"))
    return reply.token


async def mailed(account: AccountService, who: Person) -> str:
    """The token in the newest mail to somebody."""
    newest = [event for event in await told(account) if event["user_id"] == who.user.id][-1]
    return await token_of(account, newest["verification_id"])


async def verify(account: AccountService, token: str, more: Headers = ()) -> None:
    await account.accounts.VerifyEmail(pb.VerifyEmailRequest(token=token), metadata=more)


async def why_not(call: Any) -> str:
    with pytest.raises(aio.AioRpcError) as fault:
        await call
    return refusal(fault.value).reason


async def status(account: AccountService, who: Person) -> str:
    """As their profile says."""
    reply = await account.accounts.GetCurrentUser(pb.GetCurrentUserRequest(), metadata=who.headers)
    return reply.user.verification_status


async def changes(account: AccountService) -> list[dict[str, Any]]:
    found = await rows(account, "SELECT payload FROM outbox WHERE subject = 'petpro.events.user.changed' ORDER BY id")
    return [orjson.loads(row.payload) for row in found]


async def test_the_mail_after_sign_up_verifies_the_address_once(account: AccountService) -> None:
    sari, budi = await account.person(SARI), await account.person(BUDI)
    assert [event["user_id"] for event in await told(account)] == [sari.user.id, budi.user.id]
    token = await mailed(account, sari)
    assert await status(account, sari) == "unverified"
    await verify(account, token)
    assert [await status(account, who) for who in (sari, budi)] == ["verified", "unverified"]
    assert await changes(account) == [{"event_type": "user.changed", "user_id": sari.user.id, "version": 2}]
    assert await why_not(verify(account, token)) == "BAD_VERIFICATION_TOKEN"
    asked = pb.GetUserRequest(user_id=sari.user.id)
    seen = await account.accounts.GetUser(asked, metadata=account.as_service("notification"))
    assert seen.user.verification_status == "verified"


async def test_administrators_see_who_is_verified(account: AccountService) -> None:
    sari, ani = await account.person(SARI), await with_role(account, BUDI, "admin")
    await verify(account, await mailed(account, sari))
    done = await act(account, ani, "EndSessions", sari.id)
    assert done.user.verification_status == "verified"


async def test_the_administrator_that_is_made_at_start_is_sent_nothing_and_can_ask(account: AccountService) -> None:
    ani = await with_role(account, SARI, "admin")
    async with account.database.transaction() as tx:
        await users.make_administrator(tx, BUDI, "no hash")
    assert [event["user_id"] for event in await told(account)] == [ani.user.id]
    await ask(account, ani)
    await verify(account, await mailed(account, ani))
    assert await status(account, ani) == "verified"


async def test_who_asks_again_gets_another_mail_which_alone_counts_and_each_copy_of_it(
    account: AccountService,
) -> None:
    sari, budi = await account.person(SARI), await account.person(BUDI)
    old, others = await mailed(account, sari), await mailed(account, budi)
    assert (await ask(account, sari)).verification_status == "unverified"
    [replaced, _, newest] = await told(account)
    first, second = [await token_of(account, newest["verification_id"]) for _ in range(2)]
    assert await why_not(token_of(account, replaced["verification_id"])) == "EMAIL_VERIFICATION_NOT_FOUND"
    wrong = [old, f"{first}x", f"{first[:32]}{others[32:]}", f"{others[:32]}{first[32:]}", first[:32], first[32:], "x"]
    for token in wrong:
        assert await why_not(verify(account, token)) == "BAD_VERIFICATION_TOKEN"
    assert await status(account, sari) == "unverified"
    await verify(account, second)
    assert await why_not(verify(account, first)) == "BAD_VERIFICATION_TOKEN"


async def test_who_is_verified_gets_no_mail_and_is_told_so(account: AccountService) -> None:
    sari = await account.person(SARI)
    await verify(account, await mailed(account, sari))
    for _ in range(MAX_VERIFICATIONS + 1):
        assert (await ask(account, sari)).verification_status == "verified"
    assert len(await told(account)) == 1


async def test_five_mails_in_a_day_go_to_one_address_and_then_it_is_said_when_the_next_may(
    account: AccountService,
) -> None:
    sari = await account.person(SARI)
    asked = await asyncio.gather(*(ask(account, sari) for _ in range(MAX_VERIFICATIONS + 2)), return_exceptions=True)
    refusals = [refusal(fault) for fault in asked if isinstance(fault, aio.AioRpcError)]
    assert [each.reason for each in refusals] == ["TOO_MANY_VERIFICATION_MAILS"] * 3
    assert refusals[0].code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusals[0].wait_seconds == pytest.approx(timedelta(days=1).total_seconds(), abs=60)
    assert len(await told(account)) == MAX_VERIFICATIONS
    assert await mailed(account, sari), "what was asked for too often leaves the last mail good"
    await let_pass(account, "1 day")
    await ask(account, sari)
    assert len(await told(account)) == MAX_VERIFICATIONS + 1


async def test_who_is_erased_and_signs_up_again_does_not_flood_an_address(account: AccountService) -> None:
    for _ in range(MAX_VERIFICATIONS + 2):
        sari = await account.person(SARI)
        await forgotten.ask(account)
        await erase(account, sari)
    assert len(await told(account)) == MAX_VERIFICATIONS
    assert len(await forgotten.resets_told(account)) == MAX_VERIFICATIONS
    sari = await account.person(SARI)
    assert await why_not(ask(account, sari)) == "TOO_MANY_VERIFICATION_MAILS"


async def let_pass(account: AccountService, time: str) -> None:
    for table, column in (("verifications", "expires_at"), ("verification_requests", "window_started_at")):
        await change(account, f"UPDATE email_{table} SET {column} = {column} - interval '{time}'")  # noqa: S608


@pytest.mark.parametrize(
    "over",
    [
        "UPDATE email_verifications SET expires_at = expires_at - interval '1 day'",
        "UPDATE users SET account_status = 'suspended'",
        "UPDATE users SET account_status = 'erased'",
        "UPDATE users SET email = 'dewi@petpro.example'",
    ],
)
async def test_a_day_later_with_the_account_closed_or_another_address_it_verifies_nothing(
    account: AccountService, over: str
) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, sari)
    [event] = await told(account)
    await change(account, over)
    assert await why_not(verify(account, token)) == "BAD_VERIFICATION_TOKEN"
    assert await why_not(token_of(account, event["verification_id"])) == "EMAIL_VERIFICATION_NOT_FOUND"
    assert (await rows(account, "SELECT verification_status FROM users"))[0].verification_status == "unverified"


async def test_another_address_is_unverified_and_another_spelling_is_none(account: AccountService) -> None:
    sari = await account.person(SARI)
    await verify(account, await mailed(account, sari))
    link = await forgotten.mailed(account)
    await change(account, "UPDATE users SET email = 'Sari@petpro.example'")
    assert await status(account, sari) == "verified"
    await change(account, "UPDATE users SET email = 'dewi@petpro.example'")
    assert await status(account, sari) == "unverified"
    assert await forgotten.why_not(account, link) == "BAD_RESET_TOKEN", "it went to the address of before"
    await ask(account, sari)
    await verify(account, await mailed(account, sari))
    assert await status(account, sari) == "verified"


async def test_who_sets_a_forgotten_password_has_read_a_mail_and_is_verified(account: AccountService) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, sari)
    await forgotten.reset(account, await forgotten.mailed(account))
    assert await status(account, sari) == "verified"
    assert [event["version"] for event in await changes(account)] == [2]
    assert await why_not(verify(account, token)) == "BAD_VERIFICATION_TOKEN"
    await forgotten.reset(account, await forgotten.mailed(account), "another-password")
    assert len(await changes(account)) == 1, "what was so before is no change"


async def test_what_was_mailed_is_good_while_too_much_waits_to_be_told(account: AccountService) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, sari)
    backlog = Backlog(account.database, 1)
    await backlog.look()
    assert backlog.is_full
    assert await why_not(ask(account, sari)) == "OUTBOX_FULL"
    await verify(account, token)


async def test_no_table_and_no_log_holds_a_token(account: AccountService) -> None:
    sari = await account.person(SARI)
    with logged() as lines:
        token = await mailed(account, sari)
        await why_not(verify(account, f"{token}x"))
        [held] = await rows(account, "SELECT token_hashes FROM email_verifications")
        kept = [await everything(account)]
        await verify(account, token, ONCE)
        kept.append(await everything(account))
    assert [bytes(each) for each in held.token_hashes] == [token_hash(token)]
    for place in (*kept, str(lines)):
        assert token not in place
        assert token.encode().hex() not in place


async def everything(account: AccountService) -> str:
    tables = await rows(account, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    kept = [await rows(account, f"SELECT t::text FROM {table.tablename} AS t") for table in tables]  # noqa: S608
    assert len(kept) > 10
    return str(kept)


async def test_nobody_but_notification_has_a_token_made_and_strangers_ask_for_no_mail(account: AccountService) -> None:
    sari, ani = await account.person(SARI), await with_role(account, BUDI, "admin")
    request = pb.CreateEmailVerificationTokenRequest(verification_id=(await told(account))[0]["verification_id"])
    callers: list[Headers] = [sari.headers, ani.headers, account.as_service("booking"), ()]
    for caller in callers:
        with pytest.raises(aio.AioRpcError) as fault:
            await account.accounts.CreateEmailVerificationToken(request, metadata=caller)
        assert fault.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
    assert await why_not(token_of(account, str(new_id()))) == "EMAIL_VERIFICATION_NOT_FOUND"
    asked = account.accounts.RequestEmailVerification(pb.RequestEmailVerificationRequest())
    assert await why_not(asked) == "UNAUTHENTICATED"
    await change(account, "UPDATE users SET account_status = 'suspended' WHERE email LIKE 'sari%'")
    assert await why_not(ask(account, sari)) == "USER_NOT_FOUND"
