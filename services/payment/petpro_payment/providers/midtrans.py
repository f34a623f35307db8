"""The adapter to Midtrans' Core API: QRIS, virtual accounts, e-wallets and cards, in whole rupiah.

Our id is Midtrans' order_id, which it takes once, and a refund's id its refund_key. A notification's signature does
not cover the status in it, and notifications come in any order: so after the signature the status is asked for.
Answers carry their own status code, whatever HTTP says.
"""

import hmac
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from hashlib import sha512
from http import HTTPStatus
from typing import Any, ClassVar

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
    RefundLater,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers import http
from petpro_payment.providers.capabilities import Capabilities, Method, from_units, to_units
from petpro_payment.providers.movements import Page, Span
from petpro_payment.providers.provider import Asked, PaymentOrder, Provider, ProviderEvent, RefundOrder

CAPABILITIES = Capabilities(
    name="midtrans",
    methods={
        "card": Method(refund_window=timedelta(days=365)),
        "qris": Method(refund_window=timedelta(days=7)),
        "virtual_account": Method(refundable=False),
        "e_wallet": Method(refund_window=timedelta(days=45)),
    },
    currencies={"IDR": 0},
    lists=False,
)

_WEST_INDONESIA = timezone(timedelta(hours=7))
_BANK, _WALLET = "bca", "gopay"
_TAKEN = ("settlement", "capture", "refund", "partial_refund", "chargeback", "partial_chargeback")
_FUNDS = "51"
_NOT_FOUND, _DUPLICATE, _NOT_NOW, _NO_BALANCE = "404", "406", "412", "414"
_Json = dict[str, Any]


class Settings(EnvironmentSettings):
    """Environment and secrets of Midtrans."""

    service: ClassVar[str] = "payment"

    midtrans_url: str = "https://api.midtrans.com"
    midtrans_return_url: str
    """Where an e-wallet sends its customer back to."""
    midtrans_server_key: SecretStr


@asynccontextmanager
async def open_provider(timeout_seconds: float) -> AsyncIterator[Provider]:
    """Midtrans, as the settings say."""
    settings = Settings.load()
    key = settings.midtrans_server_key.get_secret_value()
    async with http.open_client(settings.midtrans_url, timeout_seconds, encode_basic_auth(key)) as client:
        yield MidtransProvider(client, key, settings.midtrans_return_url)


class MidtransProvider:
    """Speaks to Midtrans through `client`, which has its address, key and time-out."""

    capabilities = CAPABILITIES

    def __init__(self, client: http.Client, server_key: str, return_url: str) -> None:
        self._client = client
        self._server_key = server_key
        self._return_url = return_url

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        amount = to_units(order.money, CAPABILITIES)
        details = {"order_id": str(order.reference), "gross_amount": amount}
        body = {"transaction_details": details, **_means(order, self._return_url)}
        answer = await self._call("POST", "/v2/charge", body)
        if isinstance(answer, Unknown):
            return answer
        if answer["status_code"] == _DUPLICATE:
            return Unknown("it has this order already")
        if "transaction_status" not in answer:
            return Declined(Reason.PAYMENT_REFUSED)  # Midtrans did nothing, and never will with this order
        return _payment_outcome(answer)

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        found = await self._status(str(asked.reference))
        return found if isinstance(found, Unknown | None) else _payment_outcome(found)

    async def cancel_payment(self, asked: Asked) -> PaymentOutcome:
        answer = await self._call("POST", f"/v2/{asked.reference}/cancel")
        if isinstance(answer, Unknown):
            return answer
        return await self.find_payment(asked) or Unknown("it was there, and is not any more")

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        amount = to_units(order.money, CAPABILITIES)
        body = {"refund_key": str(order.reference), "amount": amount, "reason": "requested by customer"}
        answer = await self._call("POST", f"/v2/{order.payment_reference}/refund", body)
        if isinstance(answer, Unknown):
            return answer
        match answer["status_code"]:
            case "200":
                return RefundAccepted(str(answer.get("refund_chargeback_id") or order.reference))
            case code if code in (_DUPLICATE, _NOT_NOW):
                return await self._why_not(order, code)
            case code if code == _NO_BALANCE:
                return RefundLater("our balance at Midtrans does not reach")
            case code:
                return RefundRefused(code)

    async def _why_not(self, order: RefundOrder, code: str) -> RefundOutcome:
        """A refund that Midtrans had before, or that it makes only once the payment is settled."""
        found = await self._status(str(order.payment_reference))
        if isinstance(found, Unknown):
            return found
        if found and (known := _refund_of(found, order)):
            return known
        if code == _DUPLICATE:
            return Unknown("it has this refund already")
        is_captured = found and found["transaction_status"] == "capture"
        return RefundLater("not settled yet") if is_captured else RefundRefused(code)

    async def find_refund(self, order: RefundOrder) -> RefundOutcome | None:
        found = await self._status(str(order.payment_reference))
        return found if isinstance(found, Unknown | None) else _refund_of(found, order)

    async def list_movements(
        self,
        span: Span,  # noqa: ARG002  # its API shows one order at a time
    ) -> Page | Unknown:
        return Unknown("Midtrans has no list")

    async def read_webhook(
        self,
        headers: Mapping[str, str],  # noqa: ARG002  # Midtrans signs in the body
        body: bytes,
    ) -> Sequence[ProviderEvent]:
        try:
            told = json.loads(body)
            order_id, signed = str(told["order_id"]), f"{told['order_id']}{told['status_code']}{told['gross_amount']}"
            signature = str(told["signature_key"])
        except (ValueError, KeyError, TypeError):
            raise BadWebhook(FieldViolation("body", "is no notification about a transaction")) from None
        expected = sha512(f"{signed}{self._server_key}".encode()).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise BadSignature
        found = await self._status(order_id)
        if isinstance(found, Unknown):
            raise ProviderAway
        return [] if found is None else list(_events(found))

    async def _status(self, order_id: str) -> _Json | Unknown | None:
        answer = await self._call("GET", f"/v2/{order_id}/status")
        if isinstance(answer, Unknown):
            return answer
        if "transaction_status" in answer:
            return answer
        return None if answer["status_code"] == _NOT_FOUND else Unknown(f"status {answer['status_code']}")

    async def _call(self, method: str, path: str, body: _Json | None = None) -> _Json | Unknown:
        answer = await http.call(self._client, method, path, body=body)
        if isinstance(answer, Unknown):
            return answer
        try:
            said: _Json = answer.json()
            code = int(said["status_code"])
        except (ValueError, KeyError, TypeError):
            return http.unexpected(answer)
        is_usable = code < HTTPStatus.INTERNAL_SERVER_ERROR and code not in (401, 429)
        return said if is_usable else Unknown(f"status {code}")


def _means(order: PaymentOrder, return_url: str) -> _Json:
    """With what is paid. The token is the card's from Midtrans' own script, or the bank or wallet of choice."""
    match order.payment_method:
        case "card":
            card = {"token_id": order.payment_token, "authentication": True}
            return {"payment_type": "credit_card", "credit_card": card}
        case "qris":
            return {"payment_type": "qris", "qris": {"acquirer": "gopay"}}
        case "virtual_account":
            return {"payment_type": "bank_transfer", "bank_transfer": {"bank": order.payment_token or _BANK}}
        case _:
            wallet = order.payment_token or _WALLET
            return {"payment_type": wallet, wallet: {"enable_callback": True, "callback_url": return_url}}


def _payment_outcome(said: _Json) -> PaymentOutcome:
    external, status = str(said.get("transaction_id", "")), said["transaction_status"].lower()
    if status in _TAKEN and said.get("fraud_status", "accept") == "accept":
        money = from_units(said["gross_amount"], said.get("currency", "IDR"), CAPABILITIES)
        at = datetime.fromisoformat(said.get("settlement_time") or said["transaction_time"])
        return Captured(external, money, at.replace(tzinfo=_WEST_INDONESIA))
    match status:
        case "deny" | "failure":
            return Declined(_reason(said), external, is_current=True)
        case "cancel" | "expire":
            return CalledOff(external, is_current=True)
        case _ if said.get("fraud_status") == "deny":
            return Declined(_reason(said), external, is_current=True)
        case _:
            return Processing(external, _customer_action(said))


def _reason(said: _Json) -> str:
    if said.get("channel_response_code") == _FUNDS:
        return "INSUFFICIENT_FUNDS"
    return "CARD_DECLINED" if said.get("payment_type") == "credit_card" else Reason.PAYMENT_REFUSED


def _customer_action(said: _Json) -> str:
    """A QR string, a bank and account number, or a page to visit. The status alone may not say."""
    for account in said.get("va_numbers") or []:
        return f"{account['bank']} {account['va_number']}"
    if permata := said.get("permata_va_number"):
        return f"permata {permata}"
    pages = [action["url"] for action in said.get("actions") or [] if action.get("method") == "GET"]
    return str(said.get("qr_string") or said.get("redirect_url") or next(iter(pages), ""))


def _refund_outcome(refund: _Json) -> RefundOutcome:
    external = str(refund.get("refund_chargeback_id") or refund["refund_key"])
    return RefundSucceeded(external) if refund.get("bank_confirmed_at") else RefundAccepted(external)


def _refund_of(said: _Json, order: RefundOrder) -> RefundOutcome | None:
    ours = [each for each in said.get("refunds") or [] if each.get("refund_key") == str(order.reference)]
    return _refund_outcome(ours[0]) if ours else None


def _events(said: _Json) -> Iterator[ProviderEvent]:
    """What a transaction's status tells: of the payment, and of each of its refunds."""
    status, fraud = said["transaction_status"], said.get("fraud_status", "")
    kept = {field: said.get(field) for field in ("transaction_id", "transaction_status", "gross_amount", "currency")}
    told = f"{said['transaction_id']}:{status}:{fraud}"
    yield ProviderEvent(told, status, said["order_id"], _payment_outcome(said), is_refund=False, payload=kept)
    for refund in said.get("refunds") or []:
        outcome, key = _refund_outcome(refund), str(refund.get("refund_key", ""))
        told = f"{said['transaction_id']}:refund:{key}:{type(outcome).__name__}"
        kept = {field: refund.get(field) for field in ("refund_chargeback_id", "refund_amount", "bank_confirmed_at")}
        yield ProviderEvent(told, "refund", key, outcome, is_refund=True, payload=kept)
