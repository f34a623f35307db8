"""A refresh whose answer was lost is asked for again with the same idempotency key."""

import asyncio

import jwt
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from services.account.tests.people import AccountService, Person, refusal

KEY = "4f0c1f4e-6c1b-4f8e-9a3d-5b8f7d1c2e90"


@pytest.fixture
async def sari(account: AccountService) -> Person:
    return await account.person("sari@petpro.example")


async def is_refused(account: AccountService, refresh_token: str, key: str = "") -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.refresh(refresh_token, key)
    assert refusal(fault.value).reason == "BAD_REFRESH_TOKEN"


async def test_who_lost_the_answer_gets_the_same_token_again_and_stays_signed_in(
    account: AccountService, sari: Person
) -> None:
    lost = await account.refresh(sari.tokens.refresh_token, KEY)
    again = await account.refresh(sari.tokens.refresh_token, KEY)
    assert again.refresh_token == lost.refresh_token != sari.tokens.refresh_token
    claims = jwt.decode(again.access_token, options={"verify_signature": False})
    assert (claims["sub"], again.expires_in) == (sari.user.id, 900)
    newest = await account.refresh(again.refresh_token, "the next")
    assert (await account.refresh(newest.refresh_token)).access_token


async def test_the_key_may_travel_as_metadata(account: AccountService, sari: Person) -> None:
    lost = await account.refresh(sari.tokens.refresh_token, KEY)
    request = pb.RefreshTokenRequest(refresh_token=sari.tokens.refresh_token)
    again = (await account.accounts.RefreshToken(request, metadata=(("idempotency-key", KEY),))).tokens
    assert again.refresh_token == lost.refresh_token


async def test_of_many_copies_of_a_refresh_at_once_all_get_the_same_token(
    account: AccountService, sari: Person
) -> None:
    answers = await asyncio.gather(*(account.refresh(sari.tokens.refresh_token, KEY) for _ in range(5)))
    (token,) = {answer.refresh_token for answer in answers}
    assert (await account.refresh(token)).access_token


@pytest.mark.parametrize(("first", "second"), [(KEY, "another"), (KEY, ""), ("", KEY), ("", "")])
async def test_without_the_key_that_it_was_used_with_a_second_coming_ends_the_session(
    account: AccountService, sari: Person, first: str, second: str
) -> None:
    newest = await account.refresh(sari.tokens.refresh_token, first)
    await is_refused(account, sari.tokens.refresh_token, second)
    await is_refused(account, newest.refresh_token)


async def test_after_a_minute_a_second_coming_ends_the_session_with_the_key_too(
    account: AccountService, sari: Person
) -> None:
    newest = await account.refresh(sari.tokens.refresh_token, KEY)
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE refresh_tokens SET used_at = used_at - interval '1 minute'"))
    await is_refused(account, sari.tokens.refresh_token, KEY)
    await is_refused(account, newest.refresh_token)


async def test_a_late_copy_of_a_refresh_ends_nothing_and_a_thief_of_its_answer_is_found_out(
    account: AccountService, sari: Person
) -> None:
    second = await account.refresh(sari.tokens.refresh_token, KEY)
    third = await account.refresh(second.refresh_token, "the next")
    late = await account.refresh(sari.tokens.refresh_token, KEY)
    fourth = await account.refresh(third.refresh_token, "the one after")
    await is_refused(account, late.refresh_token)
    await is_refused(account, fourth.refresh_token)


async def test_an_ended_session_answers_no_lost_refresh(account: AccountService, sari: Person) -> None:
    await account.refresh(sari.tokens.refresh_token, KEY)
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET account_status = 'suspended'"))
    await is_refused(account, sari.tokens.refresh_token, KEY)


async def test_what_is_stored_gives_nobody_a_token(account: AccountService, sari: Person) -> None:
    answer = await account.refresh(sari.tokens.refresh_token, KEY)
    async with account.database.transaction() as tx:
        stored = (await tx.execute(text("SELECT string_agg(refresh_tokens::text, ' ') FROM refresh_tokens"))).scalar()
    for secret in (sari.tokens.refresh_token, answer.refresh_token, KEY):
        assert secret.encode().hex() not in str(stored)
