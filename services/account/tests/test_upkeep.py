"""The first administrator, and the deletion of what is over."""

import pytest
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from petpro_account import bootstrap, users
from petpro_account.jobs import PURGES
from petpro_account.passwords import Passwords
from petpro_common.context import Role
from petpro_common.housekeeping import purge_one
from services.account.tests.people import AccountService, bearer

ADMIN, SECRET = "Admin@petpro.example", "kunci-klinik-besar"


async def test_the_administrator_is_made_once(account: AccountService, passwords: Passwords) -> None:
    for _ in range(2):
        assert await bootstrap.attempt(account.database, ADMIN, SECRET, passwords)
    assert await bootstrap.attempt(account.database, ADMIN.lower(), "another-password", passwords)
    token = (await account.sign_in(ADMIN, SECRET)).access_token
    profile = (await account.accounts.GetCurrentUser(pb.GetCurrentUserRequest(), metadata=bearer(token))).user
    assert (profile.role, profile.phone_number) == (pb.ROLE_ADMIN, "")


async def test_the_administrator_is_known_again_by_another_spelling_of_the_domain(account: AccountService) -> None:
    for address in ("admin@例.com", "admin@xn--fsq.com"):
        async with account.database.transaction() as tx:
            assert await users.make_administrator(tx, address, "no hash") is Role.ADMIN


async def test_a_stranger_with_the_administrators_address_is_not_promoted(
    account: AccountService, passwords: Passwords
) -> None:
    await account.register(ADMIN)
    assert await bootstrap.attempt(account.database, ADMIN, SECRET, passwords)
    async with account.database.transaction() as tx:
        assert (await tx.execute(text("SELECT role FROM users"))).scalars() == ["customer"]


async def test_a_bad_address_of_the_administrator_stops_the_start(
    account: AccountService, passwords: Passwords
) -> None:
    with pytest.raises(ValueError, match="@-sign"):
        await bootstrap.attempt(account.database, "admin", SECRET, passwords)


async def test_what_is_over_is_deleted_and_what_is_not_stays(account: AccountService) -> None:
    over = await account.person("sari@petpro.example")
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE sessions SET expires_at = now() - interval '2 days'"))
        await tx.execute(text("UPDATE refresh_tokens SET expires_at = now() - interval '2 days'"))
        await tx.execute(text("INSERT INTO password_resets SELECT id, id, '{}', now() - interval '2 days' FROM users"))
        await tx.execute(
            text("INSERT INTO password_reset_requests VALUES (sha256('sari'), 1, now() - interval '2 days')")
        )
        await tx.execute(text("UPDATE email_verifications SET expires_at = now() - interval '2 days'"))
        await tx.execute(text("UPDATE email_verification_requests SET window_started_at = now() - interval '1 day'"))
    live = await account.sign_in(over.user.email)
    gone = [await purge_one(account.database, purge) for purge in PURGES]
    assert gone == [1, 1, 0, 1, 1, 1, 1]
    assert (await account.refresh(live.refresh_token)).access_token
