"""The clinics' ledger: one fee for a booking, one entry for each refund, each exact to the cent."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Transaction
from petpro_common.messaging.participant import Answer, Refused, Succeeded
from petpro_common.money import Money
from petpro_payment import store, store_ledger, store_refunds
from petpro_payment.batches import require_different
from petpro_payment.domain import Payment, PaymentStatus, Reason, Refund, RefundStatus
from petpro_payment.errors import TooEarly, TooLate
from petpro_payment.splitting import fee_split, refund_split
from petpro_payment.store_ledger import BeforeRefund, NewEntry


@dataclass(frozen=True)
class Fee:
    """An order to write a booking's fee."""

    entry_id: UUID
    payment_id: UUID
    booking_id: UUID
    clinic_id: UUID
    money: Money
    commission_percent: Decimal


async def post_fees(tx: Transaction, orders: Sequence[Fee], tax_percent: Decimal) -> list[Answer]:
    """Writes bookings' fees, pending until a settlement pays them to the clinic.

    Raises TooEarly when a payment is not captured, NotTogether when two orders are about one payment.
    """
    require_different(order.payment_id for order in orders)
    store.hold(tx, *(order.entry_id for order in orders))
    asked = store_ledger.with_fee([order.booking_id for order in orders])
    payments, with_fee = await store.lock_payments_then(tx, [order.payment_id for order in orders], asked)
    posted = set(with_fee.scalars())
    due = [order for order in orders if _is_ours_to_divide(order, payments.get(order.payment_id))]
    store_ledger.insert_entries(tx, [_entry(order, tax_percent) for order in due if order.booking_id not in posted])
    return [Succeeded(commands_pb2.BookingFeePosted()) for _ in orders]


def _is_ours_to_divide(order: Fee, payment: Payment | None) -> bool:
    """Whether we have the booking's money, and not the clinic. Raises TooEarly."""
    if payment is not None and payment.status is PaymentStatus.AT_CLINIC:
        return False
    if payment is None or payment.paid_at is None or payment.money != order.money:
        raise TooEarly(payment_id=order.payment_id)
    return True


def _entry(order: Fee, tax_percent: Decimal) -> NewEntry:
    return NewEntry(
        id=order.entry_id,
        booking_id=order.booking_id,
        clinic_id=order.clinic_id,
        payment_id=order.payment_id,
        type="booking_fee",
        currency=order.money.currency,
        split=fee_split(order.money.amount, order.money.currency, order.commission_percent, tax_percent),
    )


@dataclass(frozen=True)
class Posting:
    """An order to write a refund's pending entry."""

    entry_id: UUID
    refund_id: UUID
    booking_id: UUID
    clinic_id: UUID


async def post_refunds(tx: Transaction, orders: Sequence[Posting]) -> list[Answer]:
    """Writes refunds' pending entries, each split as the booking's fee was.

    Raises TooEarly without fee or refund, NotTogether when two orders are about one payment.
    """
    store.hold(tx, *(order.entry_id for order in orders))
    asked = store_ledger.before_refunds([(order.entry_id, order.booking_id, order.refund_id) for order in orders])
    found, [rows] = await store_refunds.reserved_or_locked(tx, [order.refund_id for order in orders], asked)
    require_different(payment.id for payment, _ in found.values())
    before = store_ledger.by_entry(rows)
    decided = [_decide(order, found.get(order.refund_id), before[order.entry_id]) for order in orders]
    store_ledger.insert_entries(tx, [entry for entry in decided if isinstance(entry, NewEntry)])
    return [Succeeded(commands_pb2.RefundEntryPosted()) if isinstance(each, NewEntry) else each for each in decided]


def _decide(order: Posting, found: tuple[Payment, Refund] | None, before: BeforeRefund) -> NewEntry | Answer:
    if before.was_called_off:
        return Refused(Reason.CALLED_OFF)
    if found is None:
        raise TooEarly(refund_id=order.refund_id)
    _, refund = found
    if before.known_status == "cancelled":
        return Refused(Reason.CALLED_OFF)
    if before.known_status is not None:
        return Succeeded(commands_pb2.RefundEntryPosted())
    if before.fee is None:
        raise TooEarly(refund_id=refund.id, booking_id=order.booking_id)
    if refund.status is RefundStatus.RELEASED:
        return Refused(Reason.CALLED_OFF)
    return NewEntry(
        id=order.entry_id,
        booking_id=order.booking_id,
        clinic_id=order.clinic_id,
        payment_id=refund.payment_id,
        refund_id=refund.id,
        type="refund",
        currency=refund.currency,
        split=refund_split(before.fee, [before.earlier], refund.amount, refund.currency).negated(),
    )


async def cancel_refund(tx: Transaction, entry_id: UUID) -> Answer:
    """Undoes `post_refunds`, also before it came. Raises TooLate when the entry is settled."""
    store.hold(tx, entry_id)
    entry = await store_ledger.find_entry(tx, entry_id)
    if entry is None:
        store.call_off(tx, entry_id)
    elif entry.status == "pending":
        store_ledger.cancel_entry(tx, entry_id)
    elif entry.status == "settled":
        raise TooLate(entry_id=entry_id)
    return Succeeded(commands_pb2.RefundEntryCancelled())
