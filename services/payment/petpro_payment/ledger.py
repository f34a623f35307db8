"""The clinics' ledger: one fee for a booking, one entry for each refund, each exact to the cent."""

from decimal import Decimal
from uuid import UUID

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Transaction
from petpro_common.messaging.participant import Answer, Refused, Succeeded
from petpro_common.money import Money
from petpro_payment import ledger_store, refund_store, store
from petpro_payment.domain import Reason, RefundStatus, TooEarly, TooLate
from petpro_payment.splitting import fee_split, refund_split


async def post_fee(
    tx: Transaction,
    entry_id: UUID,
    payment_id: UUID,
    booking_id: UUID,
    clinic_id: UUID,
    money: Money,
    commission_percent: Decimal,
    tax_percent: Decimal,
) -> Answer:
    """Writes a booking's fee, settled as of the instant at which the customer paid.

    Raises TooEarly when the payment is not captured.
    """
    await store.hold(tx, entry_id)
    payment = await store.lock_payment(tx, payment_id)
    if payment is None or payment.paid_at is None or payment.money != money:
        raise TooEarly(payment_id=payment_id)
    if await ledger_store.fee_of(tx, booking_id) is None:
        entry = {
            "id": entry_id,
            "booking_id": booking_id,
            "clinic_id": clinic_id,
            "payment_id": payment_id,
            "type": "booking_fee",
            "currency": money.currency,
            "status": "settled",
            "settlement_date": payment.paid_at,
        }
        split = fee_split(money.amount, money.currency, commission_percent, tax_percent)
        await ledger_store.insert_entry(tx, split, entry)
    return Succeeded(commands_pb2.BookingFeePosted())


async def post_refund(tx: Transaction, entry_id: UUID, refund_id: UUID, booking_id: UUID, clinic_id: UUID) -> Answer:
    """Writes a refund's pending entry, split as the booking's fee was. Raises TooEarly without fee or refund."""
    await store.hold(tx, entry_id)
    found = await refund_store.lock(tx, refund_id)
    if found is None:
        called_off = await store.was_called_off(tx, entry_id)
        return _refused_or_too_early(called_off, refund_id)
    payment, refund = found
    before = await ledger_store.before_refund(tx, entry_id, booking_id, payment.id)
    if before.was_called_off or before.known_status == "cancelled":
        return Refused(Reason.CALLED_OFF)
    if before.known_status is not None:
        return Succeeded(commands_pb2.RefundEntryPosted())
    if before.fee is None:
        raise TooEarly(refund_id=refund_id, booking_id=booking_id)
    if refund.status is RefundStatus.RELEASED:
        return Refused(Reason.CALLED_OFF)
    split = refund_split(before.fee, [before.earlier], refund.amount, refund.currency)
    entry = {
        "id": entry_id,
        "booking_id": booking_id,
        "clinic_id": clinic_id,
        "payment_id": refund.payment_id,
        "refund_id": refund_id,
        "type": "refund",
        "currency": refund.currency,
        "status": "pending",
    }
    await ledger_store.insert_entry(tx, split.negated(), entry)
    return Succeeded(commands_pb2.RefundEntryPosted())


def _refused_or_too_early(was_called_off: bool, refund_id: UUID) -> Answer:
    if was_called_off:
        return Refused(Reason.CALLED_OFF)
    raise TooEarly(refund_id=refund_id)


async def cancel_refund(tx: Transaction, entry_id: UUID) -> Answer:
    """Undoes `post_refund`, also before it came. Raises TooLate when the entry is settled."""
    await store.hold(tx, entry_id)
    entry = await ledger_store.find_entry(tx, entry_id)
    if entry is None:
        await store.call_off(tx, entry_id)
    elif entry.status == "pending":
        await ledger_store.cancel_entry(tx, entry_id)
    elif entry.status == "settled":
        raise TooLate(entry_id=entry_id)
    return Succeeded(commands_pb2.RefundEntryCancelled())
