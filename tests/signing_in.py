"""People of a running stack: signed up, and signed in, within the gateway's limits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx

from devstack.api import Api, Json, Refused
from devstack.running import RunningStack
from tests.waiting import eventually

_TOKENS: dict[tuple[str, str], tuple[float, str]] = {}
_TOKEN_SECONDS = 300.0
_OWNERS: dict[str, tuple[Json, str]] = {}


async def sign_up(visitor: Api, role: str, **known: str) -> tuple[Json, str]:
    """Somebody new, and a token of theirs; `known` is what is theirs of name and address."""
    nickname, password = uuid4().hex[:12], uuid4().hex
    wanted = {
        "email": f"{nickname}@example.com",
        "password": password,
        "full_name": f"Dewi {nickname}",
        "phone_number": "+628123456789",
        "role": role,
        **known,
    }
    user = (await _patiently(lambda: visitor.post("/v1/users", wanted)))["user"]
    signing_in = {"email": wanted["email"], "password": wanted["password"]}
    tokens = (await _patiently(lambda: visitor.post("/v1/auth/token", signing_in)))["tokens"]
    return user, str(tokens["access_token"])


async def clinic_owner(stack: RunningStack, visitor: Api) -> tuple[Json, str]:
    """Who owns the clinics of all tests of this process, and a token: signed up once, since sign-ups are limited."""
    known = str(stack.run)
    if known not in _OWNERS:
        _OWNERS[known] = await sign_up(visitor, "ROLE_CLINIC")
    return _OWNERS[known]


async def token_of(who: str, stack: RunningStack, visitor: Api) -> str:
    """Signed in once in five minutes for all tests of this process: sign-ins are limited, and tokens end."""
    key = (str(stack.run), who)
    signed_in_at, token = _TOKENS.get(key, (float("-inf"), ""))
    if time.monotonic() - signed_in_at > _TOKEN_SECONDS:
        person = stack.endpoints["users"][who]
        token = (await _patiently(lambda: visitor.post("/v1/auth/token", person)))["tokens"]["access_token"]
        _TOKENS[key] = (time.monotonic(), token)
    return token


async def _patiently(call: Callable[[], Awaitable[Json]]) -> Json:
    """Wait out the gateway's limit of sign-ups and sign-ins from one address."""

    async def answered() -> Json | None:
        try:
            return await call()
        except Refused as refusal:
            if refusal.status != httpx.codes.TOO_MANY_REQUESTS:
                raise
            await asyncio.sleep(0.2)
            return None

    return await eventually("the gateway's limits to allow it", answered)
