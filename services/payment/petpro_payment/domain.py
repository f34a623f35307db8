"""What payments and refunds are, their statuses, and why orders about them are refused."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from petpro_common.money import Money


class Reason(StrEnum):
    """Why an order of a saga is refused, as in error_reason.proto."""

    PAYMENT_REFUSED = "PAYMENT_REFUSED"
    PAYMENT_TIMED_OUT = "PAYMENT_TIMED_OUT"
    REFUND_EXCEEDS_PAYMENT = "REFUND_EXCEEDS_PAYMENT"
    REFUND_REFUSED = "REFUND_REFUSED"
    CALLED_OFF = "CALLED_OFF"
    PAYMENT_NOT_CAPTURED = "PAYMENT_NOT_CAPTURED"
    PAYMENT_METHOD_NOT_OFFERED = "PAYMENT_METHOD_NOT_OFFERED"
    CURRENCY_NOT_OFFERED = "CURRENCY_NOT_OFFERED"
    AMOUNT_TOO_FINE = "AMOUNT_TOO_FINE"


class PaymentStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    UNKNOWN = "unknown"
    SUCCESS = "success"
    FAILED = "failed"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    CANCELLED = "cancelled"
    AT_CLINIC = "at_clinic"


class RefundStatus(StrEnum):
    RESERVED = "reserved"
    SUBMITTED = "submitted"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    RELEASED = "released"
    MANUAL = "manual"
    UNKNOWN = "unknown"
    REVERSED = "reversed"
    WAITING = "waiting"

    @property
    def stored(self) -> "RefundStatus":
        """What the column `status` says, and sagas and events are told: less, as before there were the last three."""
        return _STORED.get(self, self)

    @property
    def is_submitted(self) -> bool:
        """On its way to the provider, which has not said that it has taken it on."""
        return self.stored is RefundStatus.SUBMITTED

    @property
    def is_for_a_person(self) -> bool:
        return self.stored is RefundStatus.MANUAL


_STORED = {
    RefundStatus.UNKNOWN: RefundStatus.SUBMITTED,
    RefundStatus.WAITING: RefundStatus.SUBMITTED,
    RefundStatus.REVERSED: RefundStatus.MANUAL,
}


class Origin(StrEnum):
    """Why a refund exists. All but a cancellation give back everything at once, without a person."""

    CANCELLATION = "cancellation"
    CALLED_OFF = "called_off"
    LATE_PAYMENT = "late_payment"


class Disposition(StrEnum):
    """What a provider's event did to us."""

    APPLIED = "applied"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    UNKNOWN = "unknown"


_OPEN = (PaymentStatus.PENDING, PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN)
_UNPAID = (PaymentStatus.FAILED, PaymentStatus.CANCELLED)


class Payment(NamedTuple):
    """One payment as the database has it; the fields are its columns, `now` the database's clock."""

    id: UUID
    booking_id: UUID
    user_id: UUID
    clinic_id: UUID
    provider: str
    external_reference: str | None
    amount: Decimal
    currency: str
    payment_method: str
    payment_token: str | None
    status: PaymentStatus
    failure_reason: str | None
    payment_details: dict[str, Any] | None
    deadline: datetime | None
    paid_at: datetime | None
    captured: Decimal
    refund_reserved: Decimal
    refund_done: Decimal
    quarantined_at: datetime | None
    quarantined_amount: Decimal | None
    quarantine_closed_at: datetime | None
    command_id: str | None
    cancel_requested_at: datetime | None
    cancel_command_id: str | None
    attempts: int
    asked_at: datetime | None
    created_at: datetime
    updated_at: datetime
    trace: str | None
    now: datetime

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)

    @property
    def is_open(self) -> bool:
        """Whether money may yet be taken as ordered."""
        return self.status in _OPEN

    @property
    def is_unpaid(self) -> bool:
        """Whether it ended without money."""
        return self.status in _UNPAID

    @property
    def is_taken_back(self) -> bool:
        """Whether its provider has less than was captured, and no person has closed that."""
        return self.quarantine_closed_at is None and (self.quarantined_amount or 0) < 0

    @property
    def is_called_off(self) -> bool:
        return self.cancel_requested_at is not None

    @property
    def is_overdue(self) -> bool:
        return self.deadline is not None and self.deadline <= self.now

    @property
    def refundable(self) -> Decimal:
        """What may still be set aside for a refund."""
        return self.captured - self.refund_reserved - self.refund_done


class Refund(NamedTuple):
    """One refund as the database has it; the fields are its columns."""

    id: UUID
    payment_id: UUID
    booking_id: UUID
    origin: Origin
    amount: Decimal
    currency: str
    status: RefundStatus
    reason: str
    must_succeed: bool
    external_reference: str | None
    failed_references: list[str]
    failure_reason: str | None
    command_id: str | None
    settle_command_id: str | None
    settle_entry_id: UUID | None
    paid_out_reference: str | None
    attempts: int
    retries: int
    postponements: int
    created_at: datetime
    updated_at: datetime
    trace: str | None

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)

    @property
    def idempotency_key(self) -> str:
        """Of its order at the provider: its id; a new one after each definite refusal, which the old would repeat.

        For good, after which a person had it tried again, or for now.
        """
        refusals = self.retries + self.postponements
        return f"{self.id}:{refusals}" if refusals else str(self.id)
