"""Signing in, staying signed in, and being kept out."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import jwt
import pytest
from argon2 import PasswordHasher
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from petpro_account import sessions
from petpro_account.passwords import Passwords
from services.account.tests.people import PASSWORD, AccountService, bearer, refusal

SARI = "sari@petpro.example"
WRONG = "wrong-password"


async def sql(account: AccountService, statement: str, **values: Any) -> None:
    async with account.database.transaction() as tx:
        await tx.execute(text(statement), values)


async def refused_sign_in(account: AccountService, email: str = SARI, password: str = WRONG) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.sign_in(email, password)
    return fault.value


async def test_a_token_says_who_and_what_a_person_is_for_a_quarter_of_an_hour(account: AccountService) -> None:
    sari = await account.person(SARI)
    (key,) = (await account.accounts.GetJwks(pb.GetJwksRequest())).keys
    public = {field.name: value for field, value in key.ListFields()}
    claims = jwt.decode(sari.tokens.access_token, jwt.PyJWK(public), algorithms=["ES256"], audience="petpro")
    assert jwt.get_unverified_header(sari.tokens.access_token)["kid"] == key.kid
    assert (claims["iss"], claims["sub"], claims["role"]) == ("petpro:account", sari.user.id, "customer")
    assert claims["exp"] - claims["iat"] == sari.tokens.expires_in == 900
    assert claims["jti"]
    assert sari.tokens.token_type == "Bearer"
    assert set(public) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


async def test_wrong_password_and_unknown_address_are_refused_alike(account: AccountService) -> None:
    await account.register(SARI)
    answers = [
        refusal(await refused_sign_in(account, SARI)),
        refusal(await refused_sign_in(account, "nobody@petpro.example")),
        refusal(await refused_sign_in(account, "no address at all")),
    ]
    assert {answer.reason for answer in answers} == {"BAD_CREDENTIALS"}
    assert {answer.code for answer in answers} == {grpc.StatusCode.UNAUTHENTICATED}


async def test_an_address_is_found_in_any_spelling(account: AccountService) -> None:
    await account.register("Sari@petpro.example")
    assert (await account.sign_in("sARI@PETPRO.example")).access_token


async def test_a_password_counts_as_the_same_however_it_is_composed(account: AccountService) -> None:
    await account.register(SARI, password="caf\u00e9-di-ubud")
    assert (await account.sign_in(SARI, "cafe\u0301-di-ubud")).access_token


async def test_signing_in_is_remembered(account: AccountService) -> None:
    await account.person(SARI)
    async with account.database.transaction() as tx:
        assert (await tx.execute(text("SELECT last_login_at <= now() FROM users"))).scalar_one()


async def test_a_suspended_person_stays_out(account: AccountService) -> None:
    sari = await account.person(SARI)
    await sql(account, "UPDATE users SET account_status = 'suspended'")
    assert refusal(await refused_sign_in(account, SARI, PASSWORD)).reason == "BAD_CREDENTIALS"
    with pytest.raises(aio.AioRpcError) as fault:
        await account.refresh(sari.tokens.refresh_token)
    assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"


async def test_ten_wrong_passwords_close_an_address_for_a_while(account: AccountService) -> None:
    await account.register(SARI)
    for _ in range(10):
        assert refusal(await refused_sign_in(account)).reason == "BAD_CREDENTIALS"
    closed = refusal(await refused_sign_in(account, SARI, PASSWORD))
    assert closed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert closed.reason == "TOO_MANY_SIGN_INS"
    assert closed.wait_seconds is not None
    assert 800 < closed.wait_seconds <= 900
    assert refusal(await refused_sign_in(account, "SARI@petpro.example", PASSWORD)).reason == "TOO_MANY_SIGN_INS"
    await sql(account, "UPDATE sign_in_failures SET window_started_at = now() - interval '15 minutes'")
    assert (await account.sign_in(SARI)).access_token


@pytest.mark.parametrize(
    ("address", "spelling"),
    [("siti@petpro.example", "s\u0130t\u0130@petpro.example"), ("ΟΔΟΣ@petpro.example", "οδοσ@petpro.example")],
)
async def test_an_address_closes_in_every_spelling_in_which_it_is_found(
    account: AccountService, address: str, spelling: str
) -> None:
    await account.register(address)
    assert (await account.sign_in(spelling)).access_token
    for _ in range(5):
        await refused_sign_in(account, address)
        await refused_sign_in(account, spelling)
    for either in (address, spelling):
        assert refusal(await refused_sign_in(account, either)).reason == "TOO_MANY_SIGN_INS"


async def test_an_address_that_nobody_has_closes_alike(account: AccountService) -> None:
    for _ in range(10):
        await refused_sign_in(account, "nobody@petpro.example")
    assert refusal(await refused_sign_in(account, "nobody@petpro.example")).reason == "TOO_MANY_SIGN_INS"


async def test_a_right_password_forgives_the_wrong_ones(account: AccountService) -> None:
    await account.register(SARI)
    for _ in range(2):
        for _ in range(9):
            await refused_sign_in(account)
        assert (await account.sign_in(SARI)).access_token


async def test_guesses_sent_at_once_gain_nothing(account: AccountService) -> None:
    await account.register(SARI)
    guesses = [f"wrong-guess-{number}" for number in range(29)] + [PASSWORD]
    answers = await asyncio.gather(*(account.sign_in(SARI, guess) for guess in guesses), return_exceptions=True)
    reasons = [refusal(answer).reason for answer in answers if isinstance(answer, aio.AioRpcError)]
    assert (reasons.count("BAD_CREDENTIALS"), reasons.count("TOO_MANY_SIGN_INS")) == (10, 20)


async def test_many_sign_ins_of_one_person_at_once_are_fine(account: AccountService) -> None:
    await account.register(SARI)
    tokens = await asyncio.gather(*(account.sign_in(SARI) for _ in range(20)))
    assert len({token.refresh_token for token in tokens}) == 20


async def test_a_refresh_token_works_once_and_its_second_coming_ends_the_session(account: AccountService) -> None:
    first = (await account.person(SARI)).tokens
    elsewhere = await account.sign_in(SARI)
    second = await account.refresh(first.refresh_token)
    third = await account.refresh(second.refresh_token)
    for used in (first, third):
        with pytest.raises(aio.AioRpcError) as fault:
            await account.refresh(used.refresh_token)
        assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"
    assert (await account.refresh(elsewhere.refresh_token)).access_token


async def test_of_two_refreshes_at_once_one_wins_and_the_session_ends(account: AccountService) -> None:
    tokens = (await account.person(SARI)).tokens
    answers = await asyncio.gather(*(account.refresh(tokens.refresh_token) for _ in range(5)), return_exceptions=True)
    won = [answer for answer in answers if isinstance(answer, pb.Tokens)]
    assert len(won) == 1
    with pytest.raises(aio.AioRpcError):
        await account.refresh(won[0].refresh_token)


async def test_a_stolen_token_that_meets_a_refresh_in_hand_ends_the_session(account: AccountService) -> None:
    first = (await account.person(SARI)).tokens
    second = await account.refresh(first.refresh_token)
    await stolen_while_in_hand(account, first.refresh_token, second.refresh_token)
    elsewhere = await account.sign_in(SARI)
    await stolen_while_in_hand(account, elsewhere.refresh_token, elsewhere.refresh_token)


async def stolen_while_in_hand(account: AccountService, stolen: str, newest: str) -> None:
    """The theft waits for the refresh that is not yet committed, and ends what that one began."""
    async with account.database.transaction() as slow:
        in_hand = await sessions.refresh(slow, newest)
        theft = asyncio.create_task(account.refresh(stolen))
        done, _ = await asyncio.wait({theft}, timeout=0.3)
        assert not done
    assert isinstance(in_hand, sessions.Grant)
    with pytest.raises(aio.AioRpcError):
        await theft
    with pytest.raises(aio.AioRpcError) as fault:
        await account.refresh(in_hand.refresh_token)
    assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"


@pytest.mark.parametrize("token", ["guessed", "x" * 512])
async def test_a_guessed_refresh_token_is_refused(account: AccountService, token: str) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.refresh(token)
    assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"


async def test_a_refresh_token_lasts_thirty_days(account: AccountService) -> None:
    tokens = (await account.person(SARI)).tokens
    async with account.database.transaction() as tx:
        life = (await tx.execute(text("SELECT expires_at - created_at FROM refresh_tokens"))).scalar_one()
    assert life == timedelta(days=30)
    await sql(account, "UPDATE refresh_tokens SET expires_at = now()")
    with pytest.raises(aio.AioRpcError) as fault:
        await account.refresh(tokens.refresh_token)
    assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"


async def test_a_session_lasts_as_long_as_its_newest_refresh_token(account: AccountService) -> None:
    """What is over is deleted, and whoever it was is signed out."""
    tokens = (await account.person(SARI)).tokens
    await sql(account, "UPDATE sessions SET expires_at = now() + interval '1 hour'")
    await account.refresh(tokens.refresh_token)
    async with account.database.transaction() as tx:
        life = (await tx.execute(text("SELECT expires_at - now() FROM sessions"))).scalar_one()
    assert life > timedelta(days=29)


async def test_a_refresh_takes_up_a_new_role(account: AccountService) -> None:
    tokens = (await account.person(SARI)).tokens
    await sql(account, "UPDATE users SET role = 'clinic'")
    renewed = await account.refresh(tokens.refresh_token)
    assert jwt.decode(renewed.access_token, options={"verify_signature": False})["role"] == "clinic"


async def test_no_token_is_stored_as_it_is(account: AccountService) -> None:
    tokens = (await account.person(SARI)).tokens
    async with account.database.transaction() as tx:
        stored = bytes((await tx.execute(text("SELECT token_hash FROM refresh_tokens"))).scalar_one())
    assert len(tokens.refresh_token) >= 43
    assert tokens.refresh_token.encode() not in stored


async def test_a_hash_made_with_weaker_parameters_is_made_anew(account: AccountService, passwords: Passwords) -> None:
    await account.register(SARI)
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await sql(account, "UPDATE users SET password_hash = :weak", weak=weak)
    await refused_sign_in(account)
    await account.sign_in(SARI)
    async with account.database.transaction() as tx:
        stored = (await tx.execute(text("SELECT password_hash FROM users"))).scalar_one()
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await account.sign_in(SARI)).access_token


async def test_a_token_that_somebody_else_signed_is_refused(account: AccountService) -> None:
    sari = await account.person(SARI)
    header, body, signature = sari.tokens.access_token.split(".")
    forged = f"{header}.{body}.{signature[::-1]}"
    for token in (forged, account.keys.person(sari.id), "not-a-token"):
        with pytest.raises(aio.AioRpcError) as fault:
            await account.accounts.GetCurrentUser(pb.GetCurrentUserRequest(), metadata=bearer(token))
        assert fault.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_without_a_token_there_is_no_profile(account: AccountService) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.accounts.GetCurrentUser(pb.GetCurrentUserRequest())
    assert fault.value.code() is grpc.StatusCode.UNAUTHENTICATED
