"""HTTP in and out: the key checked, the body parsed, one act, one answer."""

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import orjson
from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION
from aiohttp.typedefs import Handler, Middleware

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

PROVIDER = web.AppKey("provider", Provider)

Endpoint = Callable[[web.Request], Awaitable[web.Response]]
Lister = Callable[[Transaction, Mapping[str, object], str | None, int], Page]
Change = Callable[[Transaction, Timings, int, str], Answer]

_log = logging.getLogger("sandbox.app")


def app(settings: Settings) -> web.Application:
    """The whole API over the provider kept in the settings' state folder."""

    async def provider(api: web.Application) -> AsyncIterator[None]:
        async with open_provider(settings) as api[PROVIDER]:
            yield

    api = web.Application(middlewares=[_in_one_shape, _require(settings.api_key)], client_max_size=LARGEST_BODY)
    api.add_routes(_routes())
    api.cleanup_ctx.append(provider)
    return api


def _routes() -> list[web.RouteDef]:
    intents, refunds_, test = "/v1/payment_intents", "/v1/refunds", "/v1/test"
    return [
        web.get("/healthz", healthz),
        web.post(intents, create_payment),
        web.get(intents, _listing(ListPayments, Transaction.list_payments)),
        web.get(f"{intents}/{{id}}", _showing(lambda tx, id_: payments.find(tx, id_).json())),
        web.post(f"{intents}/{{id}}/cancel", _changing(payments.cancel)),
        web.post(refunds_, create_refund),
        web.get(refunds_, _listing(ListRefunds, Transaction.list_refunds)),
        web.get(f"{refunds_}/{{id}}", _showing(lambda tx, id_: refunds.find(tx, id_).json())),
        web.get("/v1/events", _listing(ListEvents, Transaction.list_events)),
        web.get("/v1/events/{id}", _showing(webhooks.find)),
        web.post(f"{test}/payment_intents/{{id}}/pay", pay),
        web.post(f"{test}/payment_intents/{{id}}/expire", _changing(payments.expire)),
        web.post(f"{test}/refunds/{{id}}/settle", _changing(refunds.settle)),
        web.post(f"{test}/refunds/{{id}}/fail", _changing(refunds.fail)),
        web.post(f"{test}/events/{{id}}/resend", resend),
    ]


async def healthz(_: web.Request) -> web.Response:
    """Up, with the state folder open. Needs no key."""
    return _json({"status": "ok"})


async def create_payment(request: web.Request) -> web.Response:
    """Take money, once under the Idempotency-Key."""
    provider, key = request.app[PROVIDER], _idempotency_key(request)
    body = parse_json(CreatePaymentIntent, await _body(request))
    answer = await provider.do(lambda tx: payments.create(tx, provider.timings, now(), key, body))
    return _respond(request, answer)


async def create_refund(request: web.Request) -> web.Response:
    """Give money back, once under the Idempotency-Key."""
    provider, key = request.app[PROVIDER], _idempotency_key(request)
    body = parse_json(CreateRefund, await _body(request))
    answer = await provider.do(lambda tx: refunds.create(tx, provider.timings, now(), key, body))
    return _respond(request, answer)


async def pay(request: web.Request) -> web.Response:
    """Play the customer who pays."""
    provider, payment_id = request.app[PROVIDER], request.match_info["id"]
    body = parse_json(PayPaymentIntent, await _body(request))
    answer = await provider.do(lambda tx: payments.pay(tx, provider.timings, now(), payment_id, body))
    return _respond(request, answer)


async def resend(request: web.Request) -> web.Response:
    """Send one more copy of an event now."""
    event_id = request.match_info["id"]
    return _json(await request.app[PROVIDER].do(lambda tx: webhooks.resend(tx, now(), event_id)))


def _changing(change: Change) -> Endpoint:
    """An endpoint without a body that moves one object on."""

    async def endpoint(request: web.Request) -> web.Response:
        provider, object_id = request.app[PROVIDER], request.match_info["id"]
        answer = await provider.do(lambda tx: change(tx, provider.timings, now(), object_id))
        return _respond(request, answer)

    return endpoint


def _showing(show: Callable[[Transaction, str], Json]) -> Endpoint:
    async def endpoint(request: web.Request) -> web.Response:
        return _json(await request.app[PROVIDER].do(lambda tx: show(tx, request.match_info["id"])))

    return endpoint


def _listing(model: type[ListQuery], lister: Lister) -> Endpoint:
    async def endpoint(request: web.Request) -> web.Response:
        query = parse(model, dict(request.query))
        ask = lambda tx: lister(tx, query.filters(), query.starting_after, query.limit)  # noqa: E731
        try:
            page: Page = await request.app[PROVIDER].do(ask)
        except UnknownCursor:
            raise InvalidRequest("cursor_unknown", "Nothing of that id.", param="starting_after") from None
        return _json({"object": "list", "data": page.items, "has_more": page.has_more})

    return endpoint


def _idempotency_key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= 255:
        message = "An Idempotency-Key of 1 to 255 printable characters is required."
        raise InvalidRequest("idempotency_key_required", message)
    return key


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise InvalidRequest("body_too_large", f"A body has at most {LARGEST_BODY} bytes.") from None


def _respond(request: web.Request, answer: Answer) -> web.Response:
    if answer.lost and request.transport is not None:
        request.transport.close()
    return _json(answer.body, answer.status, {"Idempotent-Replayed": "true"} if answer.replayed else None)


def _json(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


@web.middleware
async def _in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Says every refusal and every fault as the documentation has it."""
    try:
        return await handler(request)
    except ProviderError as refusal:
        return _json(refusal.body(), refusal.status)
    except web.HTTPException as refusal:
        error = {"type": InvalidRequest.type, "code": "route_unknown", "message": refusal.reason}
        allowed = {name: value for name, value in refusal.headers.items() if name == "Allow"}
        return _json({"error": error}, refusal.status, allowed)
    except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer
        _log.exception("%s %s failed", request.method, request.path)
        fault = InternalFault("internal_error", "Something went wrong on our side; nothing was done.")
        return _json(fault.body(), fault.status)


def _require(api_key: str) -> Middleware:
    """Refuses everything under /v1, known or not, that does not carry the API key."""
    expected = f"Bearer {api_key}".encode()

    @web.middleware
    async def require(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(AUTHORIZATION, "").encode(errors="surrogateescape")
        if request.path.startswith("/v1") and not hmac.compare_digest(given, expected):
            raise Unauthenticated("api_key_invalid", "A valid API key is required: Authorization: Bearer <key>.")
        return await handler(request)

    return require
