"""Who is let in. Public methods need no token, but a bad one is refused everywhere."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from services.gateway.tests.servicers import Upstream, new_key, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

ME = "/v1/users/me"
CLINICS = "/v1/clinics"


def signed_in(access_token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {access_token}"}


def unsigned(upstream: Upstream) -> str:
    _, claims, _ = token(upstream.keys[0]).split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "first"}).encode()).rstrip(b"=").decode()
    return f"{header}.{claims}."


def tampered(upstream: Upstream) -> str:
    header, _, signature = token(upstream.keys[0]).split(".")
    _, claims, _ = token(upstream.keys[0], sub="somebody-else", role="admin").split(".")
    return f"{header}.{claims}.{signature}"


def signed_by_shared_secret(upstream: Upstream) -> str:
    secret = OctKey.import_key(json.dumps(upstream.keys[0].as_dict(private=False)).encode())
    claims = {"iss": "petpro:account", "aud": "petpro", "sub": "dewi", "exp": int(time.time()) + 60}
    return jwt.encode({"alg": "HS256", "kid": "first"}, claims, secret)


BAD_TOKENS: dict[str, Callable[[Upstream], str]] = {
    "expired": lambda upstream: token(upstream.keys[0], exp=int(time.time()) - 30),
    "for another audience": lambda upstream: token(upstream.keys[0], aud="another"),
    "of a service": lambda upstream: token(upstream.keys[0], iss="petpro:booking", sub="booking", role="service"),
    "without issuer": lambda upstream: token(upstream.keys[0], iss=None),
    "without end": lambda upstream: token(upstream.keys[0], exp=None),
    "of an unknown key": lambda _: token(new_key("first")),
    "of an unknown key with a name of its own": lambda _: token(new_key("unheard-of")),
    "with algorithm none": unsigned,
    "with a public key as secret": signed_by_shared_secret,
    "with claims of another": tampered,
    "not a token": lambda _: "garbage",
}


async def test_a_good_token_is_let_in_and_passed_on(web: httpx.AsyncClient, upstream: Upstream) -> None:
    mine = signed_in(token(upstream.keys[0]))
    answer = await web.get(ME, headers=mine)
    assert (answer.status_code, answer.json()["user"]["full_name"]) == (200, "Dewi")
    assert upstream.last.metadata["authorization"] == mine["authorization"]


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "BeArEr"])
async def test_the_scheme_of_a_token_may_be_written_in_any_way(
    web: httpx.AsyncClient, upstream: Upstream, scheme: str
) -> None:
    good, bad = token(upstream.keys[0]), token(new_key("first"))
    for path in (ME, CLINICS):
        assert (await web.get(path, headers={"authorization": f"{scheme} {good}"})).status_code == 200
        assert (await web.get(path, headers={"authorization": f"{scheme} {bad}"})).status_code == 401


async def test_without_token_only_public_methods_are_open(web: httpx.AsyncClient) -> None:
    refused = await web.get(ME)
    assert (refused.status_code, refused.json()["code"]) == (401, 16)
    assert refused.json()["details"][0]["reason"] == "UNAUTHENTICATED"
    assert refused.json()["details"][0]["domain"] == "gateway.petpro"
    assert (await web.get(CLINICS)).status_code == 200


async def test_a_token_in_the_query_does_not_count(web: httpx.AsyncClient, upstream: Upstream) -> None:
    assert (await web.get(f"{ME}?access_token={token(upstream.keys[0])}")).status_code == 401


@pytest.mark.parametrize("path", [ME, CLINICS])
@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_a_bad_token_is_refused(web: httpx.AsyncClient, upstream: Upstream, kind: str, path: str) -> None:
    calls = len(upstream.calls)
    answer = await web.get(path, headers=signed_in(BAD_TOKENS[kind](upstream)))
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert answer.json()["message"] == "A valid access token is needed."
    assert len(upstream.calls) == calls


async def test_a_new_key_is_known_and_an_old_one_forgotten_without_restart(
    web: httpx.AsyncClient, upstream: Upstream
) -> None:
    old, new = upstream.keys[0], new_key("second")
    upstream.keys[:] = [new, old]
    await _until(web, new, 200)
    assert (await web.get(ME, headers=signed_in(token(old)))).status_code == 200
    upstream.keys[:] = [new]
    await _until(web, old, 401)


async def _until(web: httpx.AsyncClient, key: ECKey, status: int) -> None:
    # Verified tokens are remembered, so each try needs one of its own.
    async with asyncio.timeout(60):
        while (await web.get(ME, headers=signed_in(token(key, jti=str(uuid4()))))).status_code != status:
            await asyncio.sleep(0.1)


async def test_who_is_refused_is_told_what_to_show(web: httpx.AsyncClient) -> None:
    assert (await web.get("/v1/users/me")).headers["www-authenticate"] == "Bearer"
