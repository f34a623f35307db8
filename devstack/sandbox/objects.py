"""What the provider keeps: payments, refunds, events; and how each looks in JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from typing import Literal

from devstack.sandbox.behaviours import FAILURES, Plan
from devstack.sandbox.errors import Json
from devstack.sandbox.money import decimal_string

PaymentStatus = Literal["requires_action", "processing", "succeeded", "failed", "cancelled"]
RefundStatus = Literal["pending", "succeeded", "failed"]

_FAILURES = {**FAILURES, "refund_failed": "The customer's bank sent the money back to us."}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(kind: str, instant: int) -> str:
    """An id that begins with its time, so that what is written together lies together in the indexes."""
    return f"{kind}_{instant:014x}{token_hex(5)}"


def rfc3339(microseconds: int) -> str:
    """An instant, given in microseconds since 1970, as UTC text."""
    instant = _EPOCH + timedelta(microseconds=microseconds)
    return f"{instant.isoformat(timespec='microseconds')[:-6]}Z"


def microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class PaymentIntent:
    """One attempt to take money. Amounts are minor units, instants microseconds since 1970."""

    id: str
    reference: str
    amount: int
    currency: str
    payment_method: str
    status: PaymentStatus
    plan: Plan
    metadata: dict[str, str]
    created: int
    captured: int = 0
    captured_at: int | None = None
    settles_at: int | None = None
    failure: str = ""
    cancellation_reason: str = ""
    refunded: int = 0
    """Sum of its refunds that succeeded."""
    refund_pending: int = 0
    """Sum of its refunds that may still succeed."""

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded - self.refund_pending

    def json(self) -> Json:
        return {
            "id": self.id,
            "object": "payment_intent",
            "status": self.status,
            "amount": decimal_string(self.amount, self.currency),
            "currency": self.currency,
            "amount_captured": decimal_string(self.captured, self.currency),
            "amount_refunded": decimal_string(self.refunded, self.currency),
            "amount_refund_pending": decimal_string(self.refund_pending, self.currency),
            "reference": self.reference,
            "payment_method": self.payment_method,
            "next_action": self._next_action(),
            "failure": _failure(self.failure),
            "cancellation_reason": self.cancellation_reason or None,
            "metadata": self.metadata,
            "created": rfc3339(self.created),
            "captured_at": None if self.captured_at is None else rfc3339(self.captured_at),
        }

    def _next_action(self) -> Json | None:
        if self.status != "requires_action":
            return None
        if self.payment_method == "qris":
            return {"type": "show_qris", "qr_string": f"00020101021226SANDBOX{self.id}"}
        if self.payment_method == "virtual_account":
            number = int(sha256(self.id.encode()).hexdigest(), 16) % 10**16
            return {"type": "transfer", "bank": "SANDBOX", "account_number": f"{number:016d}"}
        return {"type": "redirect", "url": f"https://pay.sandbox.example/{self.id}"}


@dataclass(frozen=True)
class Refund:
    """Money on its way back. Amounts are minor units, instants microseconds since 1970."""

    id: str
    payment_intent: str
    reference: str
    amount: int
    currency: str
    status: RefundStatus
    reason: str
    created: int
    due_at: int | None = None
    """When it reaches its end by itself; None when it has, or when it waits for a person."""
    due_status: RefundStatus | None = None
    failure: str = ""

    def json(self) -> Json:
        return {
            "id": self.id,
            "object": "refund",
            "status": self.status,
            "payment_intent": self.payment_intent,
            "amount": decimal_string(self.amount, self.currency),
            "currency": self.currency,
            "reference": self.reference,
            "reason": self.reason,
            "failure": _failure(self.failure),
            "created": rfc3339(self.created),
        }


@dataclass(frozen=True)
class Event:
    """Something that happened, with the exact bytes that tell of it."""

    id: str
    type: str
    object_id: str
    created: int
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The outcome of a call. One that is `kept` is given again to every call under the same key."""

    status: int
    body: Json
    kept: bool = True
    lost: bool = False
    """Close the connection instead of answering."""
    replayed: bool = False


def _failure(code: str) -> Json | None:
    return {"code": code, "message": _FAILURES[code]} if code else None
