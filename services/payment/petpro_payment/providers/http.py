"""Calls to a provider over HTTP, as every adapter without an SDK makes them."""

from collections.abc import Collection
from typing import Any

import httpx
import structlog

from petpro_payment.outcomes import Unknown

_UNUSABLE = (
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.TOO_MANY_REQUESTS,
)

_log = structlog.get_logger()


def open_client(url: str, timeout_seconds: float, **options: Any) -> httpx.AsyncClient:
    """A client whose calls end, at the latest, `timeout_seconds` after each step of the connection."""
    limits = httpx.Limits(max_connections=16)
    return httpx.AsyncClient(base_url=url, timeout=timeout_seconds, limits=limits, trust_env=False, **options)


async def call(
    client: httpx.AsyncClient, method: str, path: str, definite: Collection[int] = (), **options: Any
) -> httpx.Response | Unknown:
    """The provider's definite answer, or Unknown when there is none: nothing came back, or a fault of its own.

    A status in `definite` is an answer. `options` are those of httpx. Neither they nor the answer are logged: only the
    path without its query.
    """
    try:
        answer = await client.request(method, path, **options)
    except httpx.HTTPError as fault:
        return Unknown(type(fault).__name__)
    if answer.status_code in definite or not (answer.is_server_error or answer.status_code in _UNUSABLE):
        return answer
    return unexpected(answer)


def unexpected(answer: httpx.Response) -> Unknown:
    """An answer of which nothing follows."""
    _log.error("the provider gave no usable answer", status=answer.status_code, path=answer.request.url.path)
    return Unknown(f"status {answer.status_code}")
