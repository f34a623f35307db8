"""Calls to a provider over HTTP, as every adapter makes them.

Why by aiohttp: docs/adr/0016-aiohttp-to-providers.md.
"""

import json
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import aiohttp
import certifi
import orjson
import structlog

from petpro_payment.outcomes import Unknown

_UNUSABLE = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
)
_MOST_CONNECTIONS = 16
_IDLE_SECONDS = 5.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class Client:
    """A provider at `url`, and the connections to it that are kept."""

    url: str
    session: aiohttp.ClientSession


@dataclass(frozen=True)
class Answer:
    """What a provider said to a call of `path`."""

    path: str
    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body, in which no number becomes a float. Raises ValueError when it is no JSON."""
        return json.loads(self.body, parse_float=Decimal)


@asynccontextmanager
async def open_client(url: str, timeout_seconds: float, authorization: str) -> AsyncIterator[Client]:
    """A client that shows its `authorization` with each call."""
    async with open_session(url, timeout_seconds, headers={"Authorization": authorization}) as session:
        yield Client(url.rstrip("/"), session)


def open_session(url: str, timeout_seconds: float, **options: Any) -> aiohttp.ClientSession:
    """A session for `url`, whose calls end, at the latest, `timeout_seconds` after each step of the connection.

    `options` are those of aiohttp. It keeps no cookie, and believes the authorities that certifi lists.
    """
    trusted = ssl.create_default_context(cafile=certifi.where()) if url.startswith("https:") else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS, ssl=trusted),
        timeout=aiohttp.ClientTimeout(connect=timeout_seconds, sock_read=timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    )


async def call(
    client: Client,
    method: str,
    path: str,
    definite: Collection[int] = (),
    *,
    params: Mapping[str, str] | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer | Unknown:
    """The provider's definite answer, or Unknown when there is none: nothing came back, or a fault of its own.

    A status in `definite` is an answer. `body` goes as JSON. Nothing of these or of the answer is logged but the path.
    """
    told = None if body is None else orjson.dumps(body)
    shown = {**(headers or {}), **({} if told is None else {"Content-Type": "application/json"})}
    try:
        async with client.session.request(
            method, client.url + path, params=params, data=told, headers=shown, allow_redirects=False
        ) as response:
            answer = Answer(path, response.status, await response.read())
    except (aiohttp.ClientError, TimeoutError) as fault:
        return Unknown(type(fault).__name__)
    if answer.status in definite or not (answer.status >= 500 or answer.status in _UNUSABLE):
        return answer
    return unexpected(answer)


def unexpected(answer: Answer) -> Unknown:
    """An answer of which nothing follows."""
    _log.error("the provider gave no usable answer", status=answer.status, path=answer.path)
    return Unknown(f"status {answer.status}")
