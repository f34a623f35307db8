"""What administrators do about accounts: it works at once, is kept, and nobody else may."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import grpc
import pytest
from grpc import aio
from psycopg import errors
from sqlalchemy import text

from petpro.account.v1 import account_pb2
from petpro.account.v1 import operations_pb2 as pb
from petpro_account import sessions
from petpro_account.domain import BadCredentials
from petpro_common.ids import new_id
from services.account.tests.people import PASSWORD, AccountService, Person, refusal

WHY = "phishing, ticket 42"
REQUESTS: dict[str, Callable[..., Any]] = {
    "SuspendUser": pb.SuspendUserRequest,
    "SetUserRole": partial(pb.SetUserRoleRequest, role=account_pb2.ROLE_ADMIN),
    "ReinstateUser": pb.ReinstateUserRequest,
    "EndSessions": pb.EndSessionsRequest,
    "UnlockSignIn": pb.UnlockSignInRequest,
}


@pytest.fixture
async def ani(account: AccountService) -> Person:
    """An administrator."""
    return await with_role(account, "ani@petpro.example", "admin")


async def with_role(account: AccountService, email: str, role: str) -> Person:
    user = await account.register(email)
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET role = :role WHERE id = :id"), {"role": role, "id": UUID(user.id)})
    return Person(user, await account.sign_in(email))


async def act(account: AccountService, ani: Person, verb: str, user_id: object, **fields: Any) -> Any:
    request = REQUESTS[verb](user_id=str(user_id), reason=WHY, **fields)
    return await getattr(account.operations, verb)(request, metadata=ani.headers)


async def kept(account: AccountService) -> list[tuple[str, str, str]]:
    async with account.database.transaction() as tx:
        rows = await tx.execute(text("SELECT operator, verb, reason FROM user_operations ORDER BY id"))
        return [(row.operator, row.verb, row.reason) for row in rows]


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    found = refusal(caught.value)
    return found.code, found.reason


async def test_a_suspended_person_is_signed_out_and_stays_out_until_reinstated(
    account: AccountService, ani: Person
) -> None:
    sari = await account.person("sari@petpro.example")
    await account.sign_in("sari@petpro.example")

    reply = await act(account, ani, "SuspendUser", sari.id)

    assert (reply.user.account_status, reply.ended_sessions) == ("suspended", 2)
    assert await refused(account.refresh(sari.tokens.refresh_token)) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "BAD_REFRESH_TOKEN",
    )
    assert (await refused(account.sign_in("sari@petpro.example")))[1] == "BAD_CREDENTIALS"
    assert (await act(account, ani, "SuspendUser", sari.id)).ended_sessions == 0

    assert (await act(account, ani, "ReinstateUser", sari.id)).user.account_status == "active"
    await account.sign_in("sari@petpro.example")
    assert [verb for _, verb, _ in await kept(account)] == ["suspend", "suspend", "reinstate"]
    assert set(await kept(account)) >= {(str(ani.id), "suspend", WHY)}


async def test_who_is_suspended_while_their_password_is_checked_gets_nowhere_by_it(
    account: AccountService, ani: Person
) -> None:
    sari = await account.person("sari@petpro.example")
    async with account.database.transaction() as tx:
        attempt = await sessions.begin(tx, "sari@petpro.example")
    assert attempt.credentials
    await act(account, ani, "SuspendUser", sari.id)
    with pytest.raises(BadCredentials):
        async with account.database.transaction() as tx:
            await sessions.succeed(tx, attempt, attempt.credentials, None)
    with pytest.raises(BadCredentials):
        async with account.database.transaction() as tx:
            await sessions.change_password(tx, attempt, attempt.credentials, "the hash of a password")


async def test_ending_sessions_leaves_the_account_open(account: AccountService, ani: Person) -> None:
    sari, budi = await account.person("sari@petpro.example"), await account.person("budi@petpro.example")

    reply = await act(account, ani, "EndSessions", sari.id)

    assert (reply.user.account_status, reply.ended_sessions) == ("active", 1)
    assert (await refused(account.refresh(sari.tokens.refresh_token)))[1] == "BAD_REFRESH_TOKEN"
    await account.sign_in("sari@petpro.example")
    await account.refresh(budi.tokens.refresh_token)


@pytest.mark.parametrize(
    ("verb", "is_left"),
    [("SuspendUser", False), ("SetUserRole", False), ("EndSessions", False), ("UnlockSignIn", True)],
)
async def test_with_the_sessions_ends_what_a_mail_lets_one_do(
    account: AccountService, ani: Person, verb: str, is_left: bool
) -> None:
    sari = await account.register("sari@petpro.example")
    await account.accounts.RequestPasswordReset(account_pb2.RequestPasswordResetRequest(email=sari.email))
    for dry_run in (True, False):
        await act(account, ani, verb, sari.id, dry_run=dry_run)
        async with account.database.transaction() as tx:
            reset = (await tx.execute(text("SELECT FROM password_resets"))).first()
        assert (reset is not None) == (dry_run or is_left)


async def test_a_closed_address_is_opened_again(account: AccountService, ani: Person) -> None:
    sari = await account.register("sari@petpro.example")
    for _ in range(10):
        await refused(account.sign_in("sari@petpro.example", "wrong"))
    assert (await refused(account.sign_in("sari@petpro.example", PASSWORD)))[1] == "TOO_MANY_SIGN_INS"

    await act(account, ani, "UnlockSignIn", sari.id)

    await account.sign_in("sari@petpro.example", PASSWORD)


async def test_a_dry_run_says_what_would_happen_and_changes_and_keeps_nothing(
    account: AccountService, ani: Person
) -> None:
    sari = await account.person("sari@petpro.example")

    reply = await act(account, ani, "SuspendUser", sari.id, dry_run=True)

    assert (reply.user.account_status, reply.ended_sessions) == ("suspended", 1)
    await account.refresh(sari.tokens.refresh_token)
    assert await kept(account) == []


async def test_the_same_request_twice_is_done_and_kept_once(account: AccountService, ani: Person) -> None:
    sari = await account.person("sari@petpro.example")
    replies = [await act(account, ani, "SuspendUser", sari.id, request_id="once") for _ in range(2)]
    assert replies[0] == replies[1]
    assert len(await kept(account)) == 1


@pytest.mark.parametrize("verb", REQUESTS)
async def test_only_administrators_may_and_only_with_a_reason(account: AccountService, ani: Person, verb: str) -> None:
    sari = await account.register("sari@petpro.example")
    stub = getattr(account.operations, verb)
    request = REQUESTS[verb](user_id=sari.id, reason=WHY)
    clinic = await with_role(account, "dokter@petpro.example", "clinic")
    budi = await account.person("budi@petpro.example")
    for headers in (clinic.headers, budi.headers, account.as_service("booking")):
        assert (await refused(stub(request, metadata=headers)))[0] is grpc.StatusCode.PERMISSION_DENIED
    assert (await refused(stub(request)))[0] is grpc.StatusCode.UNAUTHENTICATED
    silent = REQUESTS[verb](user_id=sari.id)
    assert (await refused(stub(silent, metadata=ani.headers)))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(act(account, ani, verb, new_id())))[1] == "USER_NOT_FOUND"
    assert await kept(account) == []


@pytest.mark.parametrize("verb", ["SuspendUser", "SetUserRole"])
async def test_nobody_suspends_themselves_or_changes_their_own_role(
    account: AccountService, ani: Person, verb: str
) -> None:
    assert (await refused(act(account, ani, verb, ani.id)))[1] == "OWN_ACCOUNT"


async def test_an_administrator_is_made_and_unmade_and_signs_in_anew_each_time(
    account: AccountService, ani: Person
) -> None:
    sari, budi = await account.person("sari@petpro.example"), await account.register("budi@petpro.example")

    made = await act(account, ani, "SetUserRole", sari.id)

    assert (made.user.role, made.ended_sessions) == (account_pb2.ROLE_ADMIN, 1)
    assert (await refused(account.refresh(sari.tokens.refresh_token)))[1] == "BAD_REFRESH_TOKEN"
    sari = Person(made.user, await account.sign_in("sari@petpro.example"))
    assert (await act(account, ani, "SetUserRole", sari.id)).ended_sessions == 0, "it is no news"
    await act(account, sari, "SuspendUser", budi.id)

    unmade = await act(account, ani, "SetUserRole", sari.id, role=account_pb2.ROLE_CUSTOMER)

    assert (unmade.user.role, unmade.ended_sessions) == (account_pb2.ROLE_CUSTOMER, 1)
    for verb in REQUESTS:
        assert (await refused(act(account, sari, verb, budi.id)))[0] is grpc.StatusCode.PERMISSION_DENIED
    async with account.database.transaction() as tx:
        rows = await tx.execute(text("SELECT operator, role FROM user_operations WHERE verb = 'set_role' ORDER BY id"))
        assert [(row.operator, row.role) for row in rows] == [
            (str(ani.id), role) for role in ("admin", "admin", "customer")
        ]


@pytest.mark.parametrize("turn", range(5))
async def test_of_two_administrators_who_unmake_each_other_one_remains(
    account: AccountService, ani: Person, turn: int
) -> None:
    budi = await with_role(account, f"budi{turn}@petpro.example", "admin")
    acts = (
        act(account, who, "SetUserRole", whom.id, role=account_pb2.ROLE_CUSTOMER)
        for who, whom in ((ani, budi), (budi, ani))
    )
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    (loser,) = (outcome for outcome in outcomes if isinstance(outcome, aio.AioRpcError))
    assert loser.code() is grpc.StatusCode.PERMISSION_DENIED
    async with account.database.transaction() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM users WHERE role = 'admin'"))).scalar() == 1


async def test_a_role_must_be_named(account: AccountService, ani: Person) -> None:
    sari = await account.register("sari@petpro.example")
    for role in (account_pb2.ROLE_UNSPECIFIED, 99):
        assert (await refused(act(account, ani, "SetUserRole", sari.id, role=role)))[
            0
        ] is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_was_done_cannot_be_changed(account: AccountService, ani: Person) -> None:
    sari = await account.register("sari@petpro.example")
    await act(account, ani, "EndSessions", sari.id)
    for change in ("UPDATE user_operations SET reason = 'none'", "DELETE FROM user_operations"):
        with pytest.raises(errors.RestrictViolation):
            async with account.database.transaction() as tx:
                await tx.execute(text(change))
