"""The adapter to Xendit's payment requests: QRIS, virtual accounts, e-wallets and cards, in whole rupiah.

A callback carries a token that never changes, so it only says that there is something to ask about: what it is about
is fetched again. What a payment request took is counted from the payments that were made to it.
"""

import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from aiohttp import encode_basic_auth
from pydantic import SecretStr

from petpro_common.errors import FieldViolation
from petpro_common.settings import EnvironmentSettings
from petpro_payment.domain import Reason
from petpro_payment.errors import BadSignature, BadWebhook, ProviderAway
from petpro_payment.outcomes import (
    CalledOff,
    Captured,
    Declined,
    PaymentOutcome,
    Processing,
    RefundAccepted,
    RefundByHand,
    RefundFailed,
    RefundLater,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers import http
from petpro_payment.providers.capabilities import ByHand, Capabilities, Method, from_units, to_units
from petpro_payment.providers.movements import Page, Span
from petpro_payment.providers.provider import Asked, PaymentOrder, Provider, ProviderEvent, RefundOrder
from petpro_payment.providers.xendit_transactions import list_transactions

CAPABILITIES = Capabilities(
    name="xendit",
    methods={
        "card": Method(),
        "qris": Method(refund_window=timedelta(days=30)),
        "virtual_account": Method(refundable=False),
        "e_wallet": Method(),
    },
    currencies={"IDR": 0},
    lists=True,
)

_PAYMENT_REQUESTS = "/payment_requests"
_REFUNDS = "/refunds"
_BANK, _WALLET = "BRI", "DANA"
_FUNDS = ("INSUFFICIENT_BALANCE", "DECLINED_BY_ISSUER_INSUFFICIENT_FUNDS")
_LATER = ("TEMPORARILY_UNAVAILABLE", "REFUND_TEMPORARILY_UNAVAILABLE", "REFUND_IN_PROGRESS", "INSUFFICIENT_BALANCE")
_FAILED = ("FAILED", "CANCELLED")
# How long and how often it gives money back is its partners' word, which it passes on when it is asked.
_BY_HAND = {
    "REFUND_NOT_SUPPORTED": ByHand.METHOD,
    "PARTIAL_REFUND_NOT_SUPPORTED": ByHand.PARTIAL,
    "PARTIAL_REFUND_COUNTS_EXCEEDED": ByHand.PARTIAL,
    "INELIGIBLE_TRANSACTION": ByHand.WINDOW,
}
_Json = dict[str, Any]


class Settings(EnvironmentSettings):
    """Environment and secrets of Xendit."""

    service: ClassVar[str] = "payment"

    xendit_url: str = "https://api.xendit.co"
    xendit_return_url: str
    """Where an e-wallet sends its customer back to."""
    xendit_secret_key: SecretStr
    xendit_callback_token: SecretStr


@asynccontextmanager
async def open_provider(timeout_seconds: float) -> AsyncIterator[Provider]:
    """Xendit, as the settings say."""
    settings = Settings.load()
    key = encode_basic_auth(settings.xendit_secret_key.get_secret_value())
    async with http.open_client(settings.xendit_url, timeout_seconds, key) as client:
        yield XenditProvider(client, settings.xendit_callback_token.get_secret_value(), settings.xendit_return_url)


class XenditProvider:
    """Speaks to Xendit through `client`, which has its address, key and time-out."""

    capabilities = CAPABILITIES

    def __init__(self, client: http.Client, callback_token: str, return_url: str) -> None:
        self._client = client
        self._token = callback_token.encode()
        self._return_url = return_url

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        body = {
            "reference_id": str(order.reference),
            "amount": to_units(order.money, CAPABILITIES),
            "currency": order.money.currency,
            "country": "ID",
            "metadata": {"booking_id": str(order.booking_id)},
            **_means(order, self._return_url),
        }
        answer = await self._order(_PAYMENT_REQUESTS, str(order.reference), body)
        if isinstance(answer, Unknown):
            return answer
        if answer.is_success:
            return await self._payment_outcome(answer.json())
        code = _code(answer)
        if not code or code in _LATER or answer.status == HTTPStatus.CONFLICT:
            return http.unexpected(answer)
        return Declined(Reason.PAYMENT_REFUSED)  # Xendit did nothing, and never will with this order

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        found = await self._request_of(asked.reference)
        return found if isinstance(found, Unknown | None) else await self._payment_outcome(found)

    async def cancel_payment(self, asked: Asked) -> PaymentOutcome:
        """A payment request ends when what the customer could pay with expires."""
        found = await self._request_of(asked.reference)
        if isinstance(found, dict):
            await http.call(self._client, "POST", f"/v2/payment_methods/{found['payment_method']['id']}/expire")
        return await self.find_payment(asked) or Unknown("it was there, and is not any more")

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        body = {
            "payment_request_id": order.payment_external_reference,
            "reference_id": str(order.reference),
            "amount": to_units(order.money, CAPABILITIES),
            "currency": order.money.currency,
            "reason": "REQUESTED_BY_CUSTOMER",
        }
        answer = await self._order(_REFUNDS, order.idempotency_key, body)
        if isinstance(answer, Unknown):
            return answer
        if answer.is_success:
            return _refund_outcome(answer.json())
        code = _code(answer)
        if code in _BY_HAND:
            return RefundByHand(_BY_HAND[code])
        if code in _LATER:
            return RefundLater(code)
        if not code or answer.status == HTTPStatus.CONFLICT:
            return http.unexpected(answer)
        return RefundRefused(code)

    async def find_refund(self, order: RefundOrder) -> RefundOutcome | None:
        query = {"payment_request_id": order.payment_external_reference, "limit": "100"}
        refunds = await self._list(_REFUNDS, query)
        if isinstance(refunds, Unknown):
            return refunds
        ours = [refund for refund in refunds if refund["reference_id"] == str(order.reference)]
        return _refund_outcome(max(ours, key=_standing)) if ours else None

    async def list_movements(self, span: Span) -> Page | Unknown:
        return await list_transactions(self._client, span, CAPABILITIES)

    async def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[ProviderEvent]:
        if not hmac.compare_digest(self._token, headers.get("x-callback-token", "").encode()):
            raise BadSignature
        try:
            event = json.loads(body)
            about, kind = event["data"], str(event["event"])
            is_refund = kind.startswith("refund.")
            path = f"{_REFUNDS}/{about['id']}" if is_refund else f"{_PAYMENT_REQUESTS}/{about['payment_request_id']}"
        except (ValueError, KeyError, TypeError):
            raise BadWebhook(FieldViolation("body", "is no callback about a payment request or refund")) from None
        event_id = headers.get("webhook-id") or sha256(body).hexdigest()
        return await self._fetched(path, kind, event_id, is_refund=is_refund)

    async def _fetched(self, path: str, kind: str, event_id: str, *, is_refund: bool) -> Sequence[ProviderEvent]:
        """What the callback is about, as Xendit says when it is asked. Raises ProviderAway."""
        answer = await http.call(self._client, "GET", path)
        if isinstance(answer, Unknown) or not (answer.is_success or answer.status == HTTPStatus.NOT_FOUND):
            raise ProviderAway
        if not answer.is_success:
            return []
        about = answer.json()
        if about["currency"] not in CAPABILITIES.currencies:
            return []
        outcome = _refund_outcome(about) if is_refund else await self._payment_outcome(about)
        if isinstance(outcome, Unknown):
            raise ProviderAway
        kept = {field: about.get(field) for field in ("id", "status", "amount", "currency")}
        reference = about["reference_id"] or ""
        return [ProviderEvent(event_id, kind, reference, outcome, is_refund, {"type": kind, "object": kept})]

    async def _payment_outcome(self, request: _Json) -> PaymentOutcome:
        match request["status"]:
            case "SUCCEEDED":
                return await self._captured(request)
            case "FAILED":
                return Declined(_reason(request), request["id"], is_current=True)
            case "EXPIRED" | "CANCELED" | "VOIDED":
                return CalledOff(request["id"], is_current=True)
            case "PENDING" | "REQUIRES_ACTION" | "AWAITING_CAPTURE":
                return Processing(request["id"], _customer_action(request))
            case other:
                return Unknown(f"Xendit says {other}")

    async def _captured(self, request: _Json) -> PaymentOutcome:
        payments = await self._list(f"/v2/payment_methods/{request['payment_method']['id']}/payments", {})
        if isinstance(payments, Unknown):
            return payments
        taken = [each for each in payments if each["payment_request_id"] == request["id"]]
        taken = [each for each in taken if each["status"] == "SUCCEEDED"]
        if not taken:
            return Unknown("it succeeded without a payment")
        money = from_units(sum(Decimal(each["amount"]) for each in taken), taken[0]["currency"], CAPABILITIES)
        return Captured(request["id"], money, min(datetime.fromisoformat(each["updated"]) for each in taken))

    async def _request_of(self, reference: UUID) -> _Json | Unknown | None:
        """The payment request with our reference; the one that was paid, should there be more."""
        found = await self._list(_PAYMENT_REQUESTS, {"reference_id": str(reference)})
        if isinstance(found, Unknown):
            return found
        return min(found, key=_is_unpaid, default=None)

    async def _list(self, path: str, query: Mapping[str, str]) -> list[_Json] | Unknown:
        answer = await http.call(self._client, "GET", path, params=query)
        if isinstance(answer, Unknown):
            return answer
        return list(answer.json()["data"]) if answer.is_success else http.unexpected(answer)

    async def _order(self, path: str, key: str, body: _Json) -> http.Answer | Unknown:
        headers = {"idempotency-key": key}
        return await http.call(self._client, "POST", path, (HTTPStatus.FORBIDDEN,), body=body, headers=headers)


def _is_unpaid(request: _Json) -> bool:
    return bool(request["status"] != "SUCCEEDED")


def _means(order: PaymentOrder, return_url: str) -> _Json:
    """With what is paid. The token names a card that Xendit's own page took in, or the bank or wallet of choice."""
    match order.payment_method:
        case "card":
            return {"payment_method_id": order.payment_token}
        case "qris":
            means: _Json = {"type": "QR_CODE", "qr_code": {"channel_code": "QRIS"}}
        case "virtual_account":
            account = {"channel_code": order.payment_token or _BANK, "channel_properties": {"customer_name": "PetPro"}}
            means = {"type": "VIRTUAL_ACCOUNT", "virtual_account": account}
        case _:
            back = {"success_return_url": return_url}
            wallet = {"channel_code": order.payment_token or _WALLET, "channel_properties": back}
            means = {"type": "EWALLET", "ewallet": wallet}
    return {"payment_method": {**means, "reusability": "ONE_TIME_USE"}}


def _customer_action(request: _Json) -> str:
    """A QR string, a bank and account number, or a page to visit."""
    means = request["payment_method"]
    if qr_code := means.get("qr_code"):
        return str(qr_code["channel_properties"]["qr_string"])
    if account := means.get("virtual_account"):
        return f"{account['channel_code']} {account['channel_properties']['virtual_account_number']}"
    return next((str(action["url"]) for action in request.get("actions") or [] if action.get("url")), "")


def _reason(request: _Json) -> str:
    if request.get("failure_code") in _FUNDS:
        return "INSUFFICIENT_FUNDS"
    return "CARD_DECLINED" if request["payment_method"]["type"] == "CARD" else Reason.PAYMENT_REFUSED


def _standing(refund: _Json) -> tuple[bool, str]:
    return refund["status"] not in _FAILED, refund["created"]


def _refund_outcome(refund: _Json) -> RefundOutcome:
    match refund["status"]:
        case "SUCCEEDED":
            return RefundSucceeded(refund["id"])
        case failed if failed in _FAILED:
            return RefundFailed(refund["id"], refund.get("failure_code") or refund["status"])
        case _:
            return RefundAccepted(refund["id"])


def _code(answer: http.Answer) -> str:
    try:
        return str(answer.json().get("error_code", ""))
    except (ValueError, AttributeError):
        return ""
