"""Calls to who sends for us over HTTP, as payment makes them: docs/adr/0016-aiohttp-to-providers.md."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import certifi
import orjson
from yarl import URL

from petpro_notification.domain import MAX_PAUSE_SECONDS, TryAgain

_STEP_SECONDS = 10.0
_MOST_CONNECTIONS = 16
_IDLE_SECONDS = 5.0
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class AnswerLost(TryAgain):
    """Nothing came back from who may have done it."""


@dataclass(frozen=True)
class Answer:
    """What was said to a call, and for how many seconds it wants to hear nothing."""

    status: int
    body: bytes
    after_seconds: float

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def later(self) -> TryAgain:
        """What follows where nothing else does."""
        return TryAgain(f"status {self.status}", self.after_seconds)

    def json(self) -> dict[str, Any]:
        """The body; empty when it is no JSON object."""
        try:
            said = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return said if isinstance(said, dict) else {}


def open_session(**options: Any) -> aiohttp.ClientSession:
    """A session that keeps no cookie, asks no proxy of the environment, and believes the authorities that certifi
    lists. `options` are those of aiohttp."""
    trusted = ssl.create_default_context(cafile=certifi.where())
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS, ssl=trusted),
        timeout=aiohttp.ClientTimeout(connect=_STEP_SECONDS, sock_read=_STEP_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    )


async def post(session: aiohttp.ClientSession, url: str | URL, **sent: Any) -> Answer | TryAgain:
    """The answer to a POST; or TryAgain, when nobody was reached, no answer came back, or that it shall be later. No
    redirect is followed, and nothing of what goes there or comes back is logged."""
    try:
        async with session.post(url, allow_redirects=False, **sent) as response:
            after = _seconds(response.headers.get("Retry-After", ""))
            answer = Answer(response.status, await response.read(), after)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as fault:
        return TryAgain(type(fault).__name__)
    except (aiohttp.ClientError, TimeoutError) as fault:
        return AnswerLost(type(fault).__name__)
    return answer.later if answer.status >= 500 or answer.status in _LATER else answer


def _seconds(after: str) -> float:
    """What Retry-After says (RFC 9110, 10.2.3), an hour at most; 0 where it says nothing that can be read."""
    try:
        wait = float(after) if after.isdecimal() else (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait, 0.0), MAX_PAUSE_SECONDS)
