"""PetPro's HTTP API as an app calls it: JSON in, JSON out, refusals as a typed error.

The story and the tests speak through this; it knows the shape of calls and errors, and no route.
"""

import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

Json = dict[str, Any]

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing on the loopback speaks TLS, and reading the machine's certificates takes longer than most calls."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Refused(Exception):
    """The gateway or a service said no; `reason` and `domain` are those of google.rpc.ErrorInfo."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.body = _body(answer)
        info = _detail(self.body, "ErrorInfo")
        self.reason = str(info.get("reason", ""))
        self.domain = str(info.get("domain", ""))
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {self.status} {answer.text[:500]}")

    @property
    def fields(self) -> list[str]:
        """The fields that break a rule, where the refusal names any."""
        return [violation["field"] for violation in _detail(self.body, "BadRequest").get("field_violations", [])]


@dataclass(frozen=True)
class Call:
    """One call that was answered. `route` has an ellipsis for every id."""

    route: str
    milliseconds: float


class Api:
    """One person's way to the gateway; a stranger's while there is no token."""

    def __init__(
        self, client: httpx.AsyncClient, token: str = "", heard: Callable[[Call], None] = lambda _call: None
    ) -> None:
        self._client = client
        self._token = token
        self._heard = heard

    def signed_in(self, token: str) -> "Api":
        """The same way for whoever holds that access token."""
        return Api(self._client, token, self._heard)

    async def sign_in(self, email: str, password: str) -> "Api":
        """The same way for whoever has that e-mail address and password. Raises Refused."""
        answer = await self.post("/v1/auth/token", {"email": email, "password": password})
        return self.signed_in(answer["tokens"]["access_token"])

    async def get(self, path: str, **query: object) -> Json:
        """Raises Refused."""
        return await self.call("GET", path, params={name: _text(value) for name, value in query.items()})

    async def post(self, path: str, body: Json | None = None, key: str | None = None) -> Json:
        """Once under its Idempotency-Key, which is a fresh one unless given. Raises Refused."""
        return await self.call("POST", path, json=body or {}, headers={"Idempotency-Key": key or uuid4().hex})

    async def call(self, method: str, path: str, **options: Any) -> Json:
        """Raises Refused."""
        answer = await self.send(method, path, **options)
        if not answer.is_success:
            raise Refused(answer)
        return _body(answer)

    @asynccontextmanager
    async def events(self, path: str) -> AsyncIterator[AsyncIterator[Json]]:
        """Each of the server-sent events of a stream, as it comes. Raises Refused."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._client.stream("GET", path, headers=headers) as answer:
            if not answer.is_success:
                await answer.aread()
                raise Refused(answer)
            yield (json.loads(line.removeprefix("data: ")) async for line in answer.aiter_lines() if line)

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request, with whatever comes back."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= options.pop("headers", {})
        began = time.perf_counter()
        answer = await self._client.request(method, path, headers=headers, **options)
        self._heard(Call(f"{method} {_ID.sub('…', path)}", (time.perf_counter() - began) * 1000))
        return answer


def open_client(gateway_url: str) -> httpx.AsyncClient:
    """A client for `Api`, with room for many calls at once."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    return httpx.AsyncClient(base_url=gateway_url, timeout=20, limits=limits, trust_env=False, verify=NO_TLS)


def open_provider_client(endpoints: Mapping[str, Any]) -> httpx.AsyncClient:
    """A client for the payment sandbox's own API, by what `stack.json` says."""
    key = (Path(endpoints["secrets"]) / "payment" / "petpro_payment_sandbox_api_key").read_text().strip()
    bearer = {"Authorization": f"Bearer {key}"}
    url = endpoints["sandbox"]["url"]
    return httpx.AsyncClient(base_url=url, headers=bearer, timeout=20, trust_env=False, verify=NO_TLS)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(answer: httpx.Response) -> Json:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _detail(body: Json, kind: str) -> Json:
    for detail in body.get("details") or []:
        if str(detail.get("@type", "")).endswith(f"google.rpc.{kind}"):
            return dict(detail)
    return {}
