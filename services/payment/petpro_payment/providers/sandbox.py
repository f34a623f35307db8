"""The adapter to the payment sandbox: JSON over HTTP, idempotency keys, signed webhooks."""

import hmac
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import orjson
from pydantic import SecretStr

from petpro_common.errors import FieldViolation
from petpro_common.money import Money, minor_unit
from petpro_common.settings import EnvironmentSettings
from petpro_payment.domain import Reason
from petpro_payment.errors import BadSignature, BadWebhook
from petpro_payment.outcomes import (
    CalledOff,
    Captured,
    Declined,
    PaymentOutcome,
    Processing,
    RefundAccepted,
    RefundFailed,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers import http
from petpro_payment.providers.capabilities import Capabilities, Method
from petpro_payment.providers.movements import STATES, Kind, Movement, Page, Span, State
from petpro_payment.providers.provider import Asked, PaymentOrder, Provider, ProviderEvent, RefundOrder

SIGNATURE_HEADER = "sandbox-signature"
SIGNATURE_WINDOW_SECONDS = 300

_DECLINES = {"card_declined": "CARD_DECLINED", "insufficient_funds": "INSUFFICIENT_FUNDS"}
_LISTS: Mapping[Kind, tuple[str, Mapping[str, str]]] = {
    Kind.CAPTURE: ("/v1/events", {"type": "payment_intent.succeeded"}),
    Kind.REFUND: ("/v1/refunds", {}),
}
_Json = dict[str, Any]
_Outcome = TypeVar("_Outcome")


class Settings(EnvironmentSettings):
    """Environment and secrets of the sandbox."""

    service: ClassVar[str] = "payment"

    sandbox_url: str
    sandbox_api_key: SecretStr
    sandbox_webhook_secret: SecretStr


@asynccontextmanager
async def open_provider(timeout_seconds: float) -> AsyncIterator[Provider]:
    """The sandbox, as the settings say."""
    settings = Settings.load()
    api_key, secret = settings.sandbox_api_key.get_secret_value(), settings.sandbox_webhook_secret.get_secret_value()
    async with sandbox_client(settings.sandbox_url, api_key, timeout_seconds) as client:
        yield SandboxProvider(client, secret)


class SandboxProvider:
    """Speaks to the sandbox through `client`, whose base URL, key and time-out `sandbox_client` sets."""

    capabilities = Capabilities(
        name="sandbox",
        methods={
            "card": Method(),
            "qris": Method(),
            "virtual_account": Method(),
            "e_wallet": Method(),
        },
        currencies={"IDR": 2, "USD": 2, "SGD": 2, "EUR": 2, "JPY": 0},
        lists=True,
    )

    def __init__(self, client: http.Client, webhook_secret: str) -> None:
        self._client = client
        self._secret = webhook_secret.encode()

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        body = {
            "amount": _amount(order.money),
            "currency": order.money.currency,
            "reference": str(order.reference),
            "payment_method": order.payment_method,
            "payment_token": order.payment_token,
            "metadata": {"booking_id": str(order.booking_id)},
        }
        return _payment_answer(await self._order("/v1/payment_intents", str(order.reference), body))

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        return await self._find("/v1/payment_intents", asked.reference, lambda found: _payment_outcome(found[0]))

    async def cancel_payment(self, asked: Asked) -> PaymentOutcome:
        path = f"/v1/payment_intents/{asked.external_reference}/cancel"
        return _payment_answer(await http.call(self._client, "POST", path))

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        body = {
            "payment_intent": order.payment_external_reference,
            "amount": _amount(order.money),
            "reference": str(order.reference),
            "reason": order.reason[:500],
        }
        return _refund_answer(await self._order("/v1/refunds", order.idempotency_key, body))

    async def find_refund(self, order: RefundOrder) -> RefundOutcome | None:
        return await self._find(
            "/v1/refunds", order.reference, lambda found: _refund_outcome(max(found, key=_standing))
        )

    async def list_movements(self, span: Span) -> Page | Unknown:
        """Captures are in the list of what happened: a payment may have been made long before it was paid."""
        path, which = _LISTS[span.kind]
        begins, ends = span.since.isoformat(), span.until.isoformat()
        query = {**which, "created_from": begins, "created_to": ends, "limit": str(span.size)}
        if span.after:
            query["starting_after"] = span.after
        answer = await http.call(self._client, "GET", path, params=query)
        if isinstance(answer, Unknown):
            return answer
        if answer.status != HTTPStatus.OK:
            return http.unexpected(answer)
        told = answer.json()
        return Page(list(map(_movement, told["data"])), told["data"][-1]["id"] if told["has_more"] else "")

    async def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[ProviderEvent]:
        self._check_signature(headers.get(SIGNATURE_HEADER, ""), body)
        try:
            event = orjson.loads(body)
            about = event["data"]["object"]
            is_refund = about["object"] == "refund"
            outcome = _refund_outcome(about) if is_refund else _payment_outcome(about)
            kept = {field: about.get(field) for field in ("id", "object", "status", "amount", "currency")}
            payload = {"id": event["id"], "type": event["type"], "created": event.get("created"), "object": kept}
            return [ProviderEvent(event["id"], event["type"], about["reference"], outcome, is_refund, payload)]
        except (ValueError, KeyError, TypeError, InvalidOperation):
            raise BadWebhook(FieldViolation("body", "is no event of the sandbox")) from None

    def _check_signature(self, header: str, body: bytes) -> None:
        """The header is `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`, at most five minutes from now."""
        parts = dict(part.partition("=")[::2] for part in header.split(","))
        try:
            told_at = int(parts.get("t", ""))
        except ValueError:
            raise BadSignature from None
        expected = hmac.new(self._secret, b"%d." % told_at + body, sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), parts.get("v1", "").encode()):
            raise BadSignature
        if abs(time.time() - told_at) > SIGNATURE_WINDOW_SECONDS:
            raise BadSignature

    async def _find(
        self, path: str, reference: UUID, read: Callable[[list[_Json]], _Outcome]
    ) -> _Outcome | Unknown | None:
        answer = await http.call(self._client, "GET", path, params={"reference": str(reference)})
        if isinstance(answer, Unknown):
            return answer
        if answer.status != HTTPStatus.OK:
            return http.unexpected(answer)
        found = answer.json()["data"]
        return read(found) if found else None

    async def _order(self, path: str, key: str, body: _Json) -> http.Answer | Unknown:
        return await http.call(self._client, "POST", path, body=body, headers={"Idempotency-Key": key})


def sandbox_client(url: str, api_key: str, timeout_seconds: float) -> AbstractAsyncContextManager[http.Client]:
    """A client that shows the sandbox its key."""
    return http.open_client(url, timeout_seconds, f"Bearer {api_key}")


def _payment_answer(answer: http.Answer | Unknown) -> PaymentOutcome:
    if isinstance(answer, Unknown):
        return answer
    body = answer.json()
    if answer.is_success:
        return _payment_outcome(body)
    intent = body["error"].get("payment_intent")
    if intent is not None:
        return _payment_outcome(intent)
    if answer.status == HTTPStatus.BAD_REQUEST:
        return Declined(Reason.PAYMENT_REFUSED)  # the provider did nothing, and never will with this order
    return http.unexpected(answer)


def _payment_outcome(intent: _Json) -> PaymentOutcome:
    external = intent["id"]
    match intent["status"]:
        case "succeeded":
            money = Money(Decimal(intent["amount_captured"]), intent["currency"])
            return Captured(external, money, datetime.fromisoformat(intent["captured_at"]))
        case "failed":
            code = (intent["failure"] or {}).get("code", "")
            return Declined(_DECLINES.get(code, Reason.PAYMENT_REFUSED), external)
        case "cancelled":
            return CalledOff(external)
        case "processing" | "requires_action":
            return Processing(external, _customer_action(intent["next_action"]))
        case other:
            raise ValueError(f"no payment is {other!r}")


def _customer_action(action: _Json | None) -> str:
    """What the customer has to do, as one string to show: a QR string, a bank and account number, or a link."""
    if action is None:
        return ""
    match action["type"]:
        case "show_qris":
            return str(action["qr_string"])
        case "transfer":
            return f"{action['bank']} {action['account_number']}"
        case _:
            return str(action["url"])


def _refund_answer(answer: http.Answer | Unknown) -> RefundOutcome:
    if isinstance(answer, Unknown):
        return answer
    body = answer.json()
    if answer.is_success:
        return _refund_outcome(body)
    error = body["error"]
    if error["type"] == "refund_error" or error["code"] in ("payment_intent_not_captured", "amount_invalid"):
        return RefundRefused(error["code"])
    return http.unexpected(answer)


def _standing(refund: _Json) -> tuple[bool, str]:
    return refund["status"] != "failed", refund["created"]


def _refund_outcome(refund: _Json) -> RefundOutcome:
    match refund["status"]:
        case "pending":
            return RefundAccepted(refund["id"])
        case "succeeded":
            return RefundSucceeded(refund["id"])
        case "failed":
            return RefundFailed(refund["id"], (refund["failure"] or {}).get("code", ""))
        case other:
            raise ValueError(f"no refund is {other!r}")


def _movement(told: _Json) -> Movement:
    """Of an event about a payment that was captured, or of a refund."""
    if "data" not in told:
        money, at = Money(Decimal(told["amount"]), told["currency"]), datetime.fromisoformat(told["created"])
        return Movement(Kind.REFUND, told["reference"], told["id"], STATES[told["status"]], money, at)
    intent = told["data"]["object"]
    money = Money(Decimal(intent["amount_captured"]), intent["currency"])
    at = datetime.fromisoformat(intent["captured_at"])
    return Movement(Kind.CAPTURE, intent["reference"], intent["id"], State.DONE, money, at)


def _amount(money: Money) -> str:
    return str(money.amount.quantize(minor_unit(money.currency)))
