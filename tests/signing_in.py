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
_OWNERS: dict[str, tuple[Json, Json]] = {}
"""By the folder of a stack; with what they sign in with."""


async def sign_up(visitor: Api, role: str, **known: str) -> tuple[Json, str]:
    """Somebody new, and a token of theirs; `known` is what is theirs of name and address."""
    user, credentials = await _register(visitor, role, known)
    return user, await _sign_in(visitor, credentials)


async def clinic_owner(stack: RunningStack, visitor: Api) -> tuple[Json, str]:
    """Who owns the clinics of all tests of this process, and a token: signed up once, since sign-ups are limited."""
    known = str(stack.run)
    if known not in _OWNERS:
        _OWNERS[known] = await _register(visitor, "ROLE_CLINIC", {})
    user, credentials = _OWNERS[known]
    return user, await _kept_token((known, user["id"]), credentials, visitor)


async def token_of(who: str, stack: RunningStack, visitor: Api) -> str:
    """A token of somebody whom the stack knows from its start."""
    return await _kept_token((str(stack.run), who), stack.endpoints["users"][who], visitor)


async def _kept_token(key: tuple[str, str], credentials: Json, visitor: Api) -> str:
    """Signed in once in five minutes for all tests of this process: sign-ins are limited, and tokens end."""
    signed_in_at, token = _TOKENS.get(key, (float("-inf"), ""))
    if time.monotonic() - signed_in_at > _TOKEN_SECONDS:
        token = await _sign_in(visitor, credentials)
        _TOKENS[key] = (time.monotonic(), token)
    return token


async def _register(visitor: Api, role: str, known: dict[str, str]) -> tuple[Json, Json]:
    """Somebody new, and what they sign in with."""
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
    return user, {"email": wanted["email"], "password": wanted["password"]}


async def _sign_in(visitor: Api, credentials: Json) -> str:
    return str((await _patiently(lambda: visitor.post("/v1/auth/token", credentials)))["tokens"]["access_token"])


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
