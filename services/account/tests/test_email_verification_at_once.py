"""A verification that is used twice, or beside something else, at the same moment; and one that is asked for again."""

import asyncio

import pytest
from grpc import aio
from sqlalchemy import text

from petpro_account import email_verifications
from petpro_account.domain import BadVerificationToken
from services.account.tests.people import AccountService, refusal
from services.account.tests.test_email_verification import SARI, ask, changes, mailed, status, told, verify, why_not
from services.account.tests.test_password_reset import rows, waiting_for_a_lock

ONCE = (("idempotency-key", "once"),)


async def test_of_two_at_once_with_one_token_one_has_done_it_and_the_other_hears_what_a_repeat_hears(
    account: AccountService,
) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, sari)
    outcomes = await asyncio.gather(*(verify(account, token) for _ in range(4)), return_exceptions=True)
    refused = [refusal(fault).reason for fault in outcomes if isinstance(fault, aio.AioRpcError)]
    assert refused == ["BAD_VERIFICATION_TOKEN"] * 3
    assert await why_not(verify(account, token)) == "BAD_VERIFICATION_TOKEN"
    assert len(await changes(account)) == 1


async def in_its_own_transaction(account: AccountService, token: str) -> None:
    async with account.database.transaction() as tx:
        await email_verifications.verify(tx, token)


async def test_who_comes_second_waits_for_the_first_and_has_done_nothing(account: AccountService) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, sari)
    async with account.database.transaction() as tx:
        await email_verifications.verify(tx, token)
        late = asyncio.create_task(in_its_own_transaction(account, token))
        await waiting_for_a_lock(account)
    with pytest.raises(BadVerificationToken):
        await late
    assert await status(account, sari) == "verified"
    assert [event["version"] for event in await changes(account)] == [2]


@pytest.mark.parametrize(
    "meanwhile", ["UPDATE users SET email = 'dewi@petpro.example'", "UPDATE users SET account_status = 'suspended'"]
)
async def test_another_address_or_a_closed_account_at_the_same_moment_is_not_verified(
    account: AccountService, meanwhile: str
) -> None:
    sari = await account.person(SARI)
    token = await mailed(account, sari)
    async with account.database.transaction() as tx:
        await tx.execute(text(meanwhile))
        late = asyncio.create_task(in_its_own_transaction(account, token))
        await waiting_for_a_lock(account)
    with pytest.raises(BadVerificationToken):
        await late
    assert await status(account, sari) == "unverified"
    assert await changes(account) == []


async def test_a_mail_that_is_asked_for_while_the_address_changes_is_of_the_new_one(account: AccountService) -> None:
    sari = await account.person(SARI)
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET email = 'dewi@petpro.example'"))
        late = asyncio.create_task(ask(account, sari))
        await waiting_for_a_lock(account)
    assert (await late).email == "dewi@petpro.example"
    counted = await rows(account, "SELECT requests FROM email_verification_requests")
    assert [row.requests for row in counted] == [1, 1]


async def test_who_lost_the_answer_asks_again(account: AccountService) -> None:
    sari = await account.person(SARI)
    await ask(account, sari, ONCE)
    await ask(account, sari, ONCE)
    assert len(await told(account)) == 2
    token = await mailed(account, sari)
    copies = await asyncio.gather(*(verify(account, token, ONCE) for _ in range(3)), return_exceptions=True)
    assert copies == [None] * 3, "one request in three copies"
    assert await why_not(verify(account, f"{token}x", ONCE)) == "REQUEST_ID_REUSED"
    assert len(await changes(account)) == 1
