"""The adapter to Stripe, over its own SDK: card payments as PaymentIntents, their refunds, signed webhooks.

A payment carries our id in its metadata. While Stripe has not told us its own id, the payment is looked for in the
list of the minutes in which we ordered it: the list is exact, and Stripe's search runs behind.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import stripe
from pydantic import SecretStr

from petpro_common.errors import FieldViolation
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
    RefundLater,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers import http
from petpro_payment.providers.capabilities import Capabilities, Method, from_units, money_of_ours, to_units
from petpro_payment.providers.movements import STATES, Kind, Movement, Page, Span, State
from petpro_payment.providers.provider import Asked, PaymentOrder, Provider, ProviderEvent, RefundOrder
from petpro_payment.providers.stripe_calls import NO_MORE, Calls, definite, definite_of

CAPABILITIES = Capabilities(
    name="stripe",
    methods={"card": Method()},
    currencies={"IDR": 2, "USD": 2, "SGD": 2, "EUR": 2, "JPY": 0},
    lists=True,
)
SIGNATURE_WINDOW_SECONDS = 300

_AROUND = timedelta(minutes=1)
_PAGE = 100
_INSUFFICIENT = ("insufficient_funds", "card_velocity_exceeded", "withdrawal_count_limit_exceeded")
_FAILED = ("failed", "canceled")
_NO_BALANCE = ("balance_insufficient", "insufficient_balance_for_refund")
_Json = Mapping[str, Any]


class Settings(EnvironmentSettings):
    """Environment and secrets of Stripe."""

    service: ClassVar[str] = "payment"

    stripe_url: str = stripe.DEFAULT_API_BASE
    stripe_secret_key: SecretStr
    stripe_webhook_secret: SecretStr


@asynccontextmanager
async def open_provider(timeout_seconds: float) -> AsyncIterator[Provider]:
    """Stripe, as the settings say."""
    settings = Settings.load()
    secrets = settings.stripe_secret_key.get_secret_value(), settings.stripe_webhook_secret.get_secret_value()
    async with open_stripe(settings.stripe_url, *secrets, timeout_seconds) as provider:
        yield provider


@asynccontextmanager
async def open_stripe(
    url: str, secret_key: str, webhook_secret: str, timeout_seconds: float
) -> AsyncIterator["StripeProvider"]:
    """Stripe at `url`. The SDK retries nothing by itself, and says nothing of what it sends."""
    stripe.enable_telemetry = False
    logging.getLogger("stripe").setLevel(logging.WARNING)
    async with http.open_session(url, timeout_seconds, trust_env=True) as session:
        client = stripe.StripeClient(
            secret_key,
            http_client=Calls(timeout=None, session=session),
            base_addresses={"api": url.rstrip("/")},
            max_network_retries=0,
        )
        yield StripeProvider(client, webhook_secret)


class StripeProvider:
    """Speaks to Stripe."""

    capabilities = CAPABILITIES

    def __init__(self, client: stripe.StripeClient, webhook_secret: str) -> None:
        self._client = client
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds
        self._charges = client.v1.charges
        self._secret = webhook_secret

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        asked = self._intents.create_async(
            {
                "amount": to_units(order.money, CAPABILITIES),
                "currency": order.money.currency.lower(),
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                "allowed_payment_method_types": ["card"],
                "payment_method": order.payment_token,
                "confirm": True,
                "metadata": {"reference": str(order.reference), "booking_id": str(order.booking_id)},
                "expand": ["latest_charge"],
            },
            {"idempotency_key": str(order.reference)},
        )
        try:
            answer = await definite(asked)
        except stripe.CardError as declined:
            return _declined(declined)
        except stripe.InvalidRequestError:
            return Declined(Reason.PAYMENT_REFUSED)  # Stripe did nothing, and never will with this order
        return answer if isinstance(answer, Unknown) else _payment_outcome(answer)

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        if asked.external_reference:
            answer = await definite(
                self._intents.retrieve_async(asked.external_reference, {"expand": ["latest_charge"]})
            )
            return answer if isinstance(answer, Unknown) else _payment_outcome(answer)
        first, last = int((asked.first_at - _AROUND).timestamp()), int((asked.last_at + _AROUND).timestamp())
        ordered = self._intents.list_async(
            {"created": {"gte": first, "lte": last}, "limit": _PAGE, "expand": ["data.latest_charge"]}
        )
        found = await definite_of(ordered, str(asked.reference))
        return found if isinstance(found, Unknown | None) else _payment_outcome(found)

    async def cancel_payment(self, asked: Asked) -> PaymentOutcome:
        try:
            answer = await definite(self._intents.cancel_async(asked.external_reference or ""))
        except stripe.InvalidRequestError:
            return await self.find_payment(asked) or Unknown("it cannot be cancelled, and is not there")
        return answer if isinstance(answer, Unknown) else _payment_outcome(answer)

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        asked = self._refunds.create_async(
            {
                "payment_intent": order.payment_external_reference,
                "amount": to_units(order.money, CAPABILITIES),
                "metadata": {"reference": str(order.reference)},
            },
            {"idempotency_key": order.idempotency_key},
        )
        try:
            answer = await definite(asked)
        except NO_MORE as refused:
            code = refused.code or "invalid_request"
            return RefundLater(code) if code in _NO_BALANCE else RefundRefused(code)
        return answer if isinstance(answer, Unknown) else _refund_outcome(answer)

    async def find_refund(self, order: RefundOrder) -> RefundOutcome | None:
        made = self._refunds.list_async({"payment_intent": order.payment_external_reference, "limit": _PAGE})
        found = await definite_of(made, str(order.reference), lambda refund: refund["status"] not in _FAILED)
        return found if isinstance(found, Unknown | None) else _refund_outcome(found)

    async def list_movements(self, span: Span) -> Page | Unknown:
        """Captures are charges, since an intent may have been made long before it was paid."""
        query: Any = {
            "created": {"gte": int(span.since.timestamp()), "lte": int(span.until.timestamp())},
            "limit": span.size,
            **({"starting_after": span.after} if span.after else {}),
        }
        try:
            if span.kind is Kind.REFUND:
                return _page(await self._refunds.list_async(query), _refund_movement)
            query["expand"] = ["data.payment_intent"]
            return _page(await self._charges.list_async(query), _capture)
        except stripe.StripeError as fault:
            return Unknown(type(fault).__name__)

    async def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[ProviderEvent]:
        signature = headers.get("stripe-signature", "")
        try:
            event = self._client.construct_event(body, signature, self._secret, SIGNATURE_WINDOW_SECONDS).to_dict()
            about = event["data"]["object"]
            reference = (about.get("metadata") or {}).get("reference")
            if reference is None or about["object"] not in ("payment_intent", "refund") or _is_foreign(about):
                return []
            return [_event(event, about, reference)]
        except stripe.SignatureVerificationError:
            raise BadSignature from None
        except (ValueError, KeyError, TypeError, LookupError, AttributeError):
            raise BadWebhook(FieldViolation("body", "is no event of Stripe")) from None


def _declined(declined: stripe.CardError) -> Declined:
    body: Any = declined.json_body or {}
    error = body.get("error", {})
    code = error.get("decline_code") or declined.code
    reason = "INSUFFICIENT_FUNDS" if code in _INSUFFICIENT else "CARD_DECLINED"
    return Declined(reason, (error.get("payment_intent") or {}).get("id", ""))


def _payment_outcome(intent: _Json, told_at: int | None = None) -> PaymentOutcome:
    match intent["status"]:
        case "succeeded":
            taken = from_units(intent.get("amount_received", intent["amount"]), intent["currency"], CAPABILITIES)
            charge = intent.get("latest_charge")
            at = charge["created"] if isinstance(charge, Mapping) else told_at or intent["created"]
            return Captured(intent["id"], taken, datetime.fromtimestamp(at, UTC))
        case "canceled":
            return CalledOff(intent["id"])
        case "requires_payment_method" if intent.get("last_payment_error"):
            code = intent["last_payment_error"].get("decline_code")
            reason = "INSUFFICIENT_FUNDS" if code in _INSUFFICIENT else "CARD_DECLINED"
            return Declined(reason, intent["id"])
        case _:
            return Processing(intent["id"], _customer_action(intent))


def _customer_action(intent: _Json) -> str:
    """What the customer has to do: a page to visit, or the secret with which Stripe's own script goes on."""
    action = intent.get("next_action") or {}
    redirect = action.get("redirect_to_url") or {}
    return str(redirect.get("url") or (intent.get("client_secret", "") if action else ""))


def _refund_outcome(refund: _Json) -> RefundOutcome:
    match refund["status"]:
        case "succeeded":
            return RefundSucceeded(refund["id"])
        case failed if failed in _FAILED:
            return RefundFailed(refund["id"], refund.get("failure_reason") or refund["status"])
        case _:
            return RefundAccepted(refund["id"])


def _page(listed: Any, read: Callable[[_Json], Movement | None]) -> Page:
    told = [each.to_dict() for each in listed.data]
    return Page([each for each in map(read, told) if each], told[-1]["id"] if listed.has_more else "")


def _capture(charge: _Json) -> Movement | None:
    """None of a charge that took nothing. Our id stands with the intent, if there is one."""
    if charge["status"] != "succeeded" or not charge["captured"]:
        return None
    intent: _Json = charge["payment_intent"] or {}
    reference, external = (intent.get("metadata") or {}).get("reference", ""), intent.get("id", charge["id"])
    money = money_of_ours(charge.get("amount_captured", charge["amount"]), charge["currency"], CAPABILITIES)
    return Movement(Kind.CAPTURE, reference, external, State.DONE, money, _instant(charge))


def _refund_movement(refund: _Json) -> Movement:
    metadata: _Json = refund["metadata"] or {}
    reference, state = metadata.get("reference", ""), STATES.get(refund["status"], State.PENDING)
    money = money_of_ours(refund["amount"], refund["currency"], CAPABILITIES)
    return Movement(Kind.REFUND, reference, refund["id"], state, money, _instant(refund))


def _instant(told: _Json) -> datetime:
    return datetime.fromtimestamp(told["created"], UTC)


def _is_foreign(about: _Json) -> bool:
    """In a currency that we never take: it is another shop's, on the same account."""
    return about.get("currency", "idr").upper() not in CAPABILITIES.currencies


def _event(event: _Json, about: _Json, reference: str) -> ProviderEvent:
    is_refund = about["object"] == "refund"
    outcome = _refund_outcome(about) if is_refund else _payment_outcome(about, event["created"])
    kept = {field: about.get(field) for field in ("id", "object", "status", "amount", "currency")}
    payload = {"id": event["id"], "type": event["type"], "created": event["created"], "object": kept}
    return ProviderEvent(event["id"], event["type"], reference, outcome, is_refund, payload)
