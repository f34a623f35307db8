"""Signing keys and what becomes of tokens when they rotate."""

import asyncio
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc.jwk import ECKey

from petpro_account.tokens import TokenKeys
from petpro_common import auth
from petpro_common.auth import Verifier
from petpro_common.context import Caller, Role
from petpro_common.errors import Unauthenticated
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing, eventually

SARI = new_id()
OLD, NEW = (ECKey.generate_key("P-256", auto_kid=True).as_dict(private=True) for _ in range(2))


def keys(*found: Any) -> TokenKeys:
    return TokenKeys(json.dumps(found))


def verifier(folder: Path, published: TokenKeys) -> Verifier:
    async def fetch() -> list[dict[str, Any]]:
        return [dict(key) for key in published.public()]

    return Verifier(KeyRing(folder).service_jwks_file, fetch)


async def test_every_service_knows_a_person_by_the_token(tmp_path: Path) -> None:
    token = keys(NEW).sign(SARI, Role.CLINIC)
    assert await verifier(tmp_path, keys(NEW)).caller(token) == Caller(str(SARI), Role.CLINIC)


async def test_tokens_outlive_a_rotation_while_the_old_key_is_published(tmp_path: Path) -> None:
    token = keys(OLD).sign(SARI, Role.CUSTOMER)
    assert await verifier(tmp_path, keys(NEW, OLD)).caller(token) == Caller(str(SARI), Role.CUSTOMER)
    with pytest.raises(Unauthenticated):
        await verifier(tmp_path, keys(NEW)).caller(token)


async def test_a_withdrawn_key_is_forgotten_and_what_is_known_stays_while_account_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_ASK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(auth, "_REFETCH_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(auth, "_REMEMBER_SECONDS", 0.0)
    published: list[Any] = [NEW, OLD]
    asked = 0

    async def fetch() -> list[dict[str, Any]]:
        nonlocal asked
        asked += 1
        if not published:
            raise ConnectionError
        return [dict(key) for key in keys(*published).public()]

    known = Verifier(KeyRing(tmp_path).service_jwks_file, fetch)
    token = keys(OLD).sign(SARI, Role.CUSTOMER)
    assert (await known.caller(token)).id == str(SARI)

    published.clear()
    for _ in range(3):
        assert (await known.caller(token)).id == str(SARI)
        await asyncio.sleep(0)
    assert asked > 1

    published.append(NEW)
    assert (await known.caller(token)).id == str(SARI)  # this call has them asked for, and does not wait
    await eventually(lambda: OLD["kid"] not in known._account_keys)
    with pytest.raises(Unauthenticated):
        await known.caller(token)


async def test_account_is_a_service_among_others_though_people_have_its_issuer(tmp_path: Path) -> None:
    async def never() -> list[dict[str, Any]]:
        raise AssertionError("a service's key is known without asking")

    ring = KeyRing(tmp_path)
    known = Verifier(ring.service_jwks_file, never)
    assert await known.caller(ring.service("account")) == Caller("account", Role.SERVICE)
    claims = {"iss": "petpro:account", "aud": "petpro", "sub": str(SARI), "role": "admin", "exp": 2**40}
    for signer in ("account", "booking"):
        token = jwt.encode(claims, ring.service_key(signer), algorithm="ES256", headers={"kid": "account"})
        with pytest.raises(Unauthenticated):
            await known.caller(token)


def test_no_private_part_is_published() -> None:
    for key in keys(OLD, NEW).public():
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "not json",
        '["a key"]',
        json.dumps([OLD, OLD]),
        json.dumps([{name: value for name, value in OLD.items() if name != "d"}]),
        json.dumps([ECKey.generate_key("P-384").as_dict(private=True)]),
    ],
    ids=["none", "no array", "no JSON", "text", "twice the same", "public", "another curve"],
)
def test_bad_signing_keys_stop_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)key"):
        TokenKeys(text)
