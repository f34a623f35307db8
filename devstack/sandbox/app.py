"""HTTP in and out: the key checked, the body parsed, one transaction, one answer."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from devstack.sandbox import payments, refunds, webhooks
from devstack.sandbox.clock import now
from devstack.sandbox.errors import InternalFault, InvalidRequest, Json, ProviderError, Unauthenticated
from devstack.sandbox.objects import Answer
from devstack.sandbox.provider import Provider, open_provider
from devstack.sandbox.requests import (
    CreatePaymentIntent,
    CreateRefund,
    ListEvents,
    ListPayments,
    ListQuery,
    ListRefunds,
    PayPaymentIntent,
    parse,
    parse_json,
)
from devstack.sandbox.settings import Settings, Timings
from devstack.sandbox.store import Page, Transaction, UnknownCursor

LARGEST_BODY = 64 * 1024
"""Bytes of a request that are read; more is refused."""

Endpoint = Callable[[Request], Awaitable[Response]]
Lister = Callable[[Transaction, Mapping[str, object], str | None, int], Page]
Change = Callable[[Transaction, Timings, int, str], Answer]


class State(TypedDict):
    provider: Provider


def app(settings: Settings) -> Starlette:
    """The whole API over the provider kept in the settings' state folder."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with open_provider(settings) as provider:
            yield {"provider": provider}

    return Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[Middleware(RequireKey, api_key=settings.api_key)],
        exception_handlers={
            ProviderError: _refused,
            HTTPException: _not_routed,
            Exception: _fault,
        },
    )


def _routes() -> list[Route]:
    intents, refunds_, test = "/v1/payment_intents", "/v1/refunds", "/v1/test"
    return [
        Route("/healthz", healthz),
        Route(intents, create_payment, methods=["POST"]),
        Route(intents, _listing(ListPayments, Transaction.list_payments)),
        Route(f"{intents}/{{id}}", _showing(lambda tx, id_: payments.find(tx, id_).json())),
        Route(f"{intents}/{{id}}/cancel", _changing(payments.cancel), methods=["POST"]),
        Route(refunds_, create_refund, methods=["POST"]),
        Route(refunds_, _listing(ListRefunds, Transaction.list_refunds)),
        Route(f"{refunds_}/{{id}}", _showing(lambda tx, id_: refunds.find(tx, id_).json())),
        Route("/v1/events", _listing(ListEvents, Transaction.list_events)),
        Route("/v1/events/{id}", _showing(webhooks.find)),
        Route(f"{test}/payment_intents/{{id}}/pay", pay, methods=["POST"]),
        Route(f"{test}/payment_intents/{{id}}/expire", _changing(payments.expire), methods=["POST"]),
        Route(f"{test}/refunds/{{id}}/settle", _changing(refunds.settle), methods=["POST"]),
        Route(f"{test}/refunds/{{id}}/fail", _changing(refunds.fail), methods=["POST"]),
        Route(f"{test}/events/{{id}}/resend", resend, methods=["POST"]),
    ]


async def healthz(_: Request) -> Response:
    """Up, with the state folder open. Needs no key."""
    return JSONResponse({"status": "ok"})


async def create_payment(request: Request) -> Response:
    """Take money, once under the Idempotency-Key."""
    provider, key = _provider(request), _idempotency_key(request)
    body = parse_json(CreatePaymentIntent, await _body(request))
    answer = await provider.change(lambda tx: payments.create(tx, provider.timings, now(), key, body))
    return await _respond(request, answer)


async def create_refund(request: Request) -> Response:
    """Give money back, once under the Idempotency-Key."""
    provider, key = _provider(request), _idempotency_key(request)
    body = parse_json(CreateRefund, await _body(request))
    answer = await provider.change(lambda tx: refunds.create(tx, provider.timings, now(), key, body))
    return await _respond(request, answer)


async def pay(request: Request) -> Response:
    """Play the customer who pays."""
    provider, payment_id = _provider(request), request.path_params["id"]
    body = parse_json(PayPaymentIntent, await _body(request))
    answer = await provider.change(lambda tx: payments.pay(tx, provider.timings, now(), payment_id, body))
    return await _respond(request, answer)


async def resend(request: Request) -> Response:
    """Send one more copy of an event now."""
    event_id = request.path_params["id"]
    return JSONResponse(await _provider(request).change(lambda tx: webhooks.resend(tx, now(), event_id)))


def _changing(change: Change) -> Endpoint:
    """An endpoint without a body that moves one object on."""

    async def endpoint(request: Request) -> Response:
        provider, object_id = _provider(request), request.path_params["id"]
        answer = await provider.change(lambda tx: change(tx, provider.timings, now(), object_id))
        return await _respond(request, answer)

    return endpoint


def _showing(show: Callable[[Transaction, str], Json]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(await _provider(request).read(lambda tx: show(tx, request.path_params["id"])))

    return endpoint


def _listing(model: type[ListQuery], lister: Lister) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        query = parse(model, dict(request.query_params))
        ask = lambda tx: lister(tx, query.filters(), query.starting_after, query.limit)  # noqa: E731
        try:
            page: Page = await _provider(request).read(ask)
        except UnknownCursor:
            raise InvalidRequest("cursor_unknown", "Nothing of that id.", param="starting_after") from None
        return JSONResponse({"object": "list", "data": page.items, "has_more": page.has_more})

    return endpoint


def _provider(request: Request) -> Provider:
    provider: Provider = request.state.provider
    return provider


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= 255:
        message = "An Idempotency-Key of 1 to 255 printable characters is required."
        raise InvalidRequest("idempotency_key_required", message)
    return key


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise InvalidRequest("body_too_large", f"A body has at most {LARGEST_BODY} bytes.")
    return bytes(body)


async def _respond(request: Request, answer: Answer) -> Response:
    if answer.lost:
        request.state.transport.close()
        await request.receive()  # returns when the connection is gone, and nothing can be answered any more
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else None
    return JSONResponse(answer.body, answer.status, headers)


class RequireKey:
    """Refuses everything under /v1 that does not carry the API key."""

    def __init__(self, inner: ASGIApp, api_key: str) -> None:
        self._inner = inner
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1") and not self._known(scope):
            refusal = Unauthenticated("api_key_invalid", "A valid API key is required: Authorization: Bearer <key>.")
            await JSONResponse(refusal.body(), refusal.status)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._expected)


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, ProviderError)
    return JSONResponse(refusal.body(), refusal.status)


async def _not_routed(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)
    error = {"type": InvalidRequest.type, "code": "route_unknown", "message": refusal.detail}
    return JSONResponse({"error": error}, refusal.status_code, refusal.headers)


async def _fault(_: Request, __: Exception) -> Response:
    fault = InternalFault("internal_error", "Something went wrong on our side; nothing was done.")
    return JSONResponse(fault.body(), fault.status)
