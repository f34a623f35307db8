"""Commands, replies, events and API messages, to and from what the use cases speak."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from petpro.payment.v1 import commands_pb2, payment_pb2
from petpro_common.db import Row, Transaction
from petpro_common.instants import timestamp
from petpro_common.messaging import outbox
from petpro_common.money import Money
from petpro_payment.domain import Payment, Refund, RefundStatus
from petpro_payment.outcomes import Captured

NO_CURRENCY = "XXX"
"""ISO 4217's code for where no currency is involved."""

REFUND_EVENTS = {
    RefundStatus.PENDING: "refund.submitted",
    RefundStatus.SUCCEEDED: "refund.succeeded",
    RefundStatus.REFUSED: "refund.refused",
    RefundStatus.MANUAL: "refund.manual",
}


def new_payment(order: commands_pb2.TakePayment, command_id: str, provider: str) -> dict[str, Any]:
    """The row of a payment as ordered. Raises ValueError or InvalidRequest for an order that nobody could carry out."""
    money = Money.from_proto(order.amount)
    return {
        "id": UUID(order.payment_id),
        "booking_id": UUID(order.booking_id),
        "user_id": UUID(order.user_id),
        "clinic_id": UUID(order.clinic_id),
        "provider": provider,
        "amount": money.amount,
        "currency": money.currency,
        "payment_method": order.payment_method,
        "payment_token": order.payment_token or None,
        "deadline": order.deadline.ToDatetime(UTC) if order.HasField("deadline") else None,
        "command_id": command_id,
    }


def payment_taken(outcome: Captured) -> commands_pb2.PaymentTaken:
    taken = commands_pb2.PaymentTaken(external_reference=outcome.external_reference)
    taken.paid_at.FromDatetime(outcome.paid_at)
    return taken


def payment_at_clinic() -> commands_pb2.PaymentTaken:
    return commands_pb2.PaymentTaken(at_clinic=True)


def payment_cancelled(
    refund_amount: Decimal = Decimal(0), currency: str = NO_CURRENCY
) -> commands_pb2.PaymentCancelled:
    return commands_pb2.PaymentCancelled(refund_amount=Money(refund_amount, currency).to_proto())


def _about(payment: Payment) -> dict[str, Any]:
    return {
        "payment_id": payment.id,
        "booking_id": payment.booking_id,
        "user_id": payment.user_id,
        "clinic_id": payment.clinic_id,
    }


def tell_captured(tx: Transaction, payment: Payment) -> None:
    """Event payment.captured."""
    event = {**_about(payment), "amount": payment.amount, "currency": payment.currency}
    outbox.add_event(tx, "payment", "payment.captured", payment.id, event)


def tell_failed(tx: Transaction, payment: Payment, reason: str) -> None:
    """Event payment.failed: it ended, and no money was taken."""
    outbox.add_event(tx, "payment", "payment.failed", payment.id, {**_about(payment), "reason": reason})


def tell_refund(tx: Transaction, payment: Payment, refund: Refund, status: RefundStatus) -> None:
    """Event refund.submitted, refund.succeeded, refund.refused or refund.manual; and where the refund stood before.

    One that was tried again has waited for a person until it succeeds: of the steps between nobody was told.
    """
    was_manual = status is RefundStatus.SUCCEEDED and refund.retries
    event = {
        "refund_id": refund.id,
        **_about(payment),
        "amount": refund.amount,
        "currency": refund.currency,
        "status_before": RefundStatus.MANUAL if was_manual else refund.status.stored,
    }
    outbox.add_event(tx, "payment", REFUND_EVENTS[status.stored], payment.id, event)


def _instant(value: datetime | None) -> Timestamp | None:
    return None if value is None else timestamp(value)


def payment_message(payment: Payment, refunds: Sequence[Refund], *, to_payer: bool) -> payment_pb2.Payment:
    """A payment as the API shows it. What the customer has to do may hold a secret, and is shown to them alone."""
    return payment_pb2.Payment(
        id=str(payment.id),
        booking_id=str(payment.booking_id),
        external_reference=payment.external_reference or "",
        amount=payment.money.to_proto(),
        payment_method=payment.payment_method,
        status=payment_pb2.PaymentStatus.Value(f"PAYMENT_STATUS_{payment.status.upper()}"),
        failure_reason=payment.failure_reason or "",
        paid_at=_instant(payment.paid_at),
        created_at=_instant(payment.created_at),
        updated_at=_instant(payment.updated_at),
        refunds=[refund_message(refund) for refund in refunds],
        customer_action=(payment.payment_details or {}).get("customer_action", "") if to_payer else "",
    )


def refund_message(refund: Refund) -> payment_pb2.Refund:
    """A refund as the API shows it."""
    return payment_pb2.Refund(
        id=str(refund.id),
        payment_id=str(refund.payment_id),
        amount=refund.money.to_proto(),
        status=payment_pb2.RefundStatus.Value(f"REFUND_STATUS_{refund.status.upper()}"),
        external_reference=refund.external_reference or "",
        reason=refund.reason,
        created_at=_instant(refund.created_at),
        updated_at=_instant(refund.updated_at),
    )


def entry_message(row: Row) -> payment_pb2.FinancialEntry:
    """A ledger entry as the API shows it."""
    return payment_pb2.FinancialEntry(
        id=str(row.id),
        booking_id=str(row.booking_id),
        clinic_id=str(row.clinic_id),
        type=payment_pb2.FinancialEntryType.Value(f"FINANCIAL_ENTRY_TYPE_{row.type.upper()}"),
        total_amount=Money(row.total_amount, row.currency).to_proto(),
        platform_fee=Money(row.platform_fee, row.currency).to_proto(),
        clinic_amount=Money(row.clinic_amount, row.currency).to_proto(),
        tax_amount=Money(row.tax_amount, row.currency).to_proto(),
        status=payment_pb2.FinancialEntryStatus.Value(f"FINANCIAL_ENTRY_STATUS_{row.status.upper()}"),
        settlement_date=_instant(row.settlement_date),
        created_at=_instant(row.created_at),
    )
