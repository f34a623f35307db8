"""Tokens: people's come from account, services sign their own. Every service verifies every token again.

- A person's token: ES256, issuer `petpro:account`, audience `petpro`, claims `sub` (user id), `role`, `exp`; its key
  is found by `kid` among the keys that account publishes.
- A service's token: ES256, issuer `petpro:<service>`, `kid` and `sub` = the service's name; its key is in the file of
  service keys, perhaps beside the one that follows it. It lives for a minute, and the calls of half a minute share one:
  to sign and to verify costs more than most calls do.

A key vouches for its owner alone, so what a token says of itself is held against the key that signed it: a service's
names that service and nobody else, a person's is no service.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt

from petpro_common.context import Caller, Role
from petpro_common.errors import Unauthenticated
from petpro_common.seldom import Seldom
from petpro_common.service_keys import BadServiceKey, read_private_keys

AUDIENCE = "petpro"
ACCOUNT_ISSUER = "petpro:account"
_SERVICE_TOKEN_SECONDS = 60
_SHARED_SECONDS = 30
_REMEMBERED_TOKENS = 10_000
_REMEMBER_SECONDS = 30
_REFETCH_AFTER_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 30.0

Keys = Mapping[str, tuple[jwt.PyJWK, ...]]
FetchKeys = Callable[[], Awaitable[list[dict[str, Any]]]]


def read_jwks(keys: list[dict[str, Any]]) -> Keys:
    """Keys by their `kid`, which several have while one follows another, in their order."""
    found: dict[str, tuple[jwt.PyJWK, ...]] = {}
    for key in keys:
        found[key["kid"]] = (*found.get(key["kid"], ()), jwt.PyJWK(key, algorithm="ES256"))
    return found


class ServiceTokens:
    """Makes this service's own tokens for its calls to others, by the first key of its secret. Raises BadServiceKey."""

    def __init__(self, service: str, service_key: str) -> None:
        self.service = service
        self._private_key, *_ = read_private_keys(service_key)
        self.public_key = self._private_key.public_key()
        self._token = ""
        self._signed_at = 0.0

    def issue(self) -> str:
        """A token that is good for half a minute at least."""
        now = time.time()
        if not 0 <= now - self._signed_at < _SHARED_SECONDS:
            self._token, self._signed_at = self._sign(int(now)), now
        return self._token

    def _sign(self, now: int) -> str:
        claims = {
            "iss": f"petpro:{self.service}",
            "sub": self.service,
            "aud": AUDIENCE,
            "role": Role.SERVICE.value,
            "iat": now,
            "exp": now + _SERVICE_TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._private_key, algorithm="ES256", headers={"kid": self.service})


class _Seen(NamedTuple):
    """Who a token belongs to, and until when on the machine's own clock it is remembered."""

    caller: Caller
    remembered_until: float


class Verifier:
    """Tells who a bearer token belongs to.

    Account's keys are fetched on first need and whenever an unknown `kid` appears, at most every five seconds, so a
    rotation needs no restart and a flood of bad tokens no flood of fetches. While they are used they are fetched again
    every half minute, beside the calls: tokens of a key that was withdrawn are refused after a minute at the most.
    Those that are known stay while account is away.
    """

    def __init__(self, service_jwks_file: Path, fetch_account_keys: FetchKeys) -> None:
        self._service_keys = read_jwks(json.loads(service_jwks_file.read_text())["keys"])
        self._fetch = fetch_account_keys
        self._account_keys: Keys = {}
        self._fetched_at = self._asked_again_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._asking_again: asyncio.Task[None] | None = None
        self._seldom = Seldom()
        self._seen: dict[str, _Seen] = {}

    def require_known(self, tokens: ServiceTokens) -> None:
        """Raises BadServiceKey when others, who have the same file of service keys, would not believe these tokens."""
        if all(known.key != tokens.public_key for known in self._service_keys.get(tokens.service, ())):
            raise BadServiceKey(
                "the public half of service_key is not among this service's in the file of service keys"
            )

    async def caller(self, token: str) -> Caller:
        """The caller behind `token`. Raises Unauthenticated when it is malformed, out of date or not ours."""
        known = self._seen.get(token)
        if known and known.caller.until > time.time() and known.remembered_until > time.monotonic():
            return known.caller
        caller = await self._verify(token)
        if len(self._seen) >= _REMEMBERED_TOKENS:
            self._seen.clear()
        self._seen[token] = _Seen(caller, time.monotonic() + _REMEMBER_SECONDS)
        return caller

    async def _verify(self, token: str) -> Caller:
        with _bad_token():
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
            kid, issuer = str(header.get("kid")), str(unverified.get("iss"))
        keys = await self._keys(kid, issuer)  # what goes wrong here is no fault of the caller's
        with _bad_token():
            claims = _claims(token, keys, issuer)
            caller = Caller(str(claims["sub"]), Role(claims["role"]), float(claims["exp"]))
        by_service = self._is_services(kid, issuer)
        if caller != Caller(kid, Role.SERVICE) if by_service else caller.role is Role.SERVICE:
            raise Unauthenticated
        return caller

    def _is_services(self, kid: str, issuer: str) -> bool:
        """Whether a service's own key must have signed. Account shares its issuer with people's tokens."""
        return issuer == f"petpro:{kid}" and kid in self._service_keys

    async def _keys(self, kid: str, issuer: str) -> tuple[jwt.PyJWK, ...]:
        """The keys of which one must have signed. A service's key vouches for that service alone.

        Raises Unauthenticated when nobody whom we know has such a key.
        """
        if self._is_services(kid, issuer):
            return self._service_keys[kid]
        if issuer != ACCOUNT_ISSUER:
            raise Unauthenticated
        if kid not in self._account_keys:
            await self._refresh()
        elif time.monotonic() - max(self._fetched_at, self._asked_again_at) > _ASK_AGAIN_SECONDS:
            self._asked_again_at = time.monotonic()
            self._asking_again = asyncio.create_task(self._ask_again())
        if kid not in self._account_keys:
            raise Unauthenticated
        return self._account_keys[kid]

    async def _ask_again(self) -> None:
        try:
            await self._refresh()
        except Exception as fault:  # noqa: BLE001  # what is known stays
            self._seldom.warning("account's keys are not to be had", cause=type(fault).__name__)

    async def _refresh(self) -> None:
        async with self._fetching:
            if time.monotonic() - self._fetched_at < _REFETCH_AFTER_SECONDS:
                return
            self._account_keys = read_jwks(await self._fetch())
            self._fetched_at = time.monotonic()


@contextlib.contextmanager
def _bad_token() -> Iterator[None]:
    """What reading a token raises, as the typed error that its bearer gets."""
    try:
        yield
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        raise Unauthenticated from None


def _claims(token: str, keys: tuple[jwt.PyJWK, ...], issuer: str) -> dict[str, Any]:
    """What a token says that one of these keys signed. Raises PyJWTError."""
    *others, last = keys
    for key in others:
        with contextlib.suppress(jwt.InvalidSignatureError):
            return _decoded(token, key, issuer)
    return _decoded(token, last, issuer)


def _decoded(token: str, key: jwt.PyJWK, issuer: str) -> dict[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience=AUDIENCE,
        issuer=issuer,
        # Whoever signed may have a clock that is ahead of ours: from when on a token is good is not asked.
        options={"require": ["exp", "sub", "iss", "aud"], "verify_iat": False},
    )


def bearer(metadata: Mapping[str, str]) -> str | None:
    """The bearer token in a call's metadata, or None. Raises Unauthenticated for another scheme."""
    value = metadata.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token


async def identify(verifier: Verifier, metadata: Mapping[str, str]) -> Caller | None:
    """Who calls, or None without a token. A token that is sent must be good, even where none is needed."""
    token = bearer(metadata)
    return await verifier.caller(token) if token else None
