"""A request to set a forgotten password that comes again, or that is a guess, under a request id."""

import pytest

from petpro_account import password_resets, passwords
from petpro_common.db import Transaction
from services.account.tests.people import AccountService
from services.account.tests.test_password_reset import SARI, ask, mailed, reset, resets_told, token_of, why_not

ONCE = (("idempotency-key", "once"),)


async def test_who_lost_the_answer_asks_again(account: AccountService) -> None:
    await account.register(SARI)
    await ask(account, more=ONCE)
    await ask(account, more=ONCE)
    [told] = await resets_told(account)
    token = await token_of(account, told["reset_id"])
    await reset(account, token, more=ONCE)
    await reset(account, token, more=ONCE)
    assert await why_not(account, token, "another-password", ONCE) == "REQUEST_ID_REUSED"


async def test_a_copy_that_comes_while_the_first_is_at_work_is_answered_alike(
    account: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await account.register(SARI)
    token = await mailed(account)
    look_at = password_resets.look_at

    async def look_after_the_first(tx: Transaction, token: str) -> None:
        monkeypatch.setattr(password_resets, "look_at", look_at)
        await reset(account, token, more=ONCE)
        await look_at(tx, token)

    monkeypatch.setattr(password_resets, "look_at", look_after_the_first)
    await reset(account, token, more=ONCE)
    assert await why_not(account, token) == "BAD_RESET_TOKEN", "without its request id it is no copy"


async def test_a_guess_costs_no_hash_of_a_password(account: AccountService, monkeypatch: pytest.MonkeyPatch) -> None:
    await account.register(SARI)
    token = await mailed(account)
    monkeypatch.setattr(passwords, "_MAX_IN_HAND", 0)
    assert await why_not(account, f"{token}x", more=ONCE) == "BAD_RESET_TOKEN"
    assert await why_not(account, token, more=ONCE) == "OVERLOADED"
