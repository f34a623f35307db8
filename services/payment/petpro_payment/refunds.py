"""Giving money back. Each function takes the transaction; none calls a provider.

Whatever happens to a refund happens under the row lock of its payment, so its sums are always those of its refunds.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import participant
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.money import Money
from petpro_payment import ledger_store, messages, metrics, refund_store, store
from petpro_payment.domain import (
    Disposition,
    Origin,
    Payment,
    Reason,
    Refund,
    RefundStatus,
    TooEarly,
    TooLate,
    refund_move,
    set_aside,
)
from petpro_payment.outcomes import RefundFailed, RefundOutcome, RefundRefused, Unknown

_log = structlog.get_logger()


async def reserve(
    tx: Transaction, refund_id: UUID, payment_id: UUID, money: Money, reason: str, booking_id: UUID
) -> Answer:
    """Sets an amount of a captured payment aside, so that no other refund can take it."""
    await store.hold(tx, refund_id)
    payment = await store.lock_payment(tx, payment_id)
    if payment and payment.captured and _is_within(payment, money):
        refund = _new(payment, refund_id, money.amount, RefundStatus.RESERVED, Origin.CANCELLATION, reason, booking_id)
        if await refund_store.add(tx, refund, money.amount):
            return Succeeded(commands_pb2.RefundReserved())
    return await _why_not(tx, refund_id, payment)


def _is_within(payment: Payment, money: Money) -> bool:
    return money.currency == payment.currency and 0 < money.amount <= payment.refundable


async def _why_not(tx: Transaction, refund_id: UUID, payment: Payment | None) -> Answer:
    """The answer to an order to reserve that changes nothing."""
    if await store.was_called_off(tx, refund_id):
        return Refused(Reason.CALLED_OFF)
    if payment is None or not payment.captured:
        return Refused(Reason.PAYMENT_NOT_CAPTURED)
    known = await refund_store.find_refund(tx, refund_id)
    if known is None:
        return Refused(Reason.REFUND_EXCEEDS_PAYMENT)
    is_released = known.status is RefundStatus.RELEASED
    return Refused(Reason.CALLED_OFF) if is_released else Succeeded(commands_pb2.RefundReserved())


async def release(tx: Transaction, refund_id: UUID) -> Answer:
    """Undoes `reserve`, also before it came. Raises TooLate when the provider may know of the refund."""
    await store.hold(tx, refund_id)
    found = await refund_store.lock(tx, refund_id)
    if found is None:
        await store.call_off(tx, refund_id)
        return Succeeded(commands_pb2.RefundReleased())
    _, refund = found
    if refund.status is RefundStatus.RESERVED:
        await _move(tx, refund, RefundStatus.RELEASED)
    elif refund.status not in (RefundStatus.RELEASED, RefundStatus.REFUSED):
        raise TooLate(refund_id=refund_id, status=refund.status)
    return Succeeded(commands_pb2.RefundReleased())


async def submit(tx: Transaction, command_id: str, refund_id: UUID, must_succeed: bool) -> Answer:
    """Has a reserved refund sent to the provider after the commit."""
    found = await refund_store.lock(tx, refund_id)
    if found is None:
        if await store.was_called_off(tx, refund_id):
            return Refused(Reason.CALLED_OFF)
        raise TooEarly(refund_id=refund_id)
    match found[1].status:
        case RefundStatus.RESERVED | RefundStatus.SUBMITTED:
            await refund_store.submit(tx, refund_id, command_id, must_succeed)
            return Pending()
        case RefundStatus.RELEASED:
            return Refused(Reason.CALLED_OFF)
        case RefundStatus.REFUSED:
            return Refused(Reason.REFUND_REFUSED)
        case status:
            return Succeeded(commands_pb2.RefundSubmitted(refund_status=status))


async def settle(tx: Transaction, command_id: str, refund_id: UUID, entry_id: UUID) -> Answer:
    """Settles the refund's entry, at once or when the provider reports the money gone."""
    found = await refund_store.lock(tx, refund_id)
    if found is None:
        raise TooEarly(refund_id=refund_id)
    if found[1].status is RefundStatus.SUCCEEDED:
        if not await ledger_store.settle_entry(tx, entry_id):
            raise TooEarly(entry_id=entry_id)
        return Succeeded(commands_pb2.RefundEntrySettled())
    if await ledger_store.find_entry(tx, entry_id) is None:
        raise TooEarly(entry_id=entry_id)
    await refund_store.await_settlement(tx, refund_id, command_id, entry_id)
    return Pending()


async def give_back(tx: Transaction, payment: Payment, origin: Origin) -> Decimal:
    """Has all that is left of a locked, captured payment sent back, once; how much that is."""
    known = await refund_store.whole_refund(tx, payment.id)
    if known is not None:
        return known.amount
    amount = payment.refundable
    if amount:
        whole = _new(payment, new_id(), amount, RefundStatus.SUBMITTED, origin, origin.value, payment.booking_id)
        await refund_store.add(tx, whole, amount)
    return amount


async def learn(tx: Transaction, payment: Payment, refund: Refund, outcome: RefundOutcome) -> Disposition:
    """Makes of a refund what the outcome says, under its payment's lock, and answers whoever waits for it."""
    status = refund_move(refund, outcome)
    if status is None:
        return Disposition.IGNORED
    external = "" if isinstance(outcome, RefundRefused | Unknown) else outcome.external_reference
    failure = outcome.code if isinstance(outcome, RefundRefused | RefundFailed) else ""
    await _move(tx, refund, status, external, failure)
    await messages.tell_refund(tx, payment, refund, status)
    if status is RefundStatus.MANUAL:
        metrics.MANUAL_REFUNDS.inc()
        _log.error("refund needs a person", refund_id=str(refund.id), payment_id=str(payment.id), cause=failure)
    await _answer(tx, refund, status)
    return Disposition.APPLIED


async def _answer(tx: Transaction, refund: Refund, status: RefundStatus) -> None:
    if refund.command_id and refund.status is RefundStatus.SUBMITTED:
        submitted = Succeeded(commands_pb2.RefundSubmitted(refund_status=status))
        refused = Refused(Reason.REFUND_REFUSED)
        await participant.answer(tx, refund.command_id, refused if status is RefundStatus.REFUSED else submitted)
    if status is RefundStatus.SUCCEEDED and refund.settle_command_id and refund.settle_entry_id:
        await ledger_store.settle_entry(tx, refund.settle_entry_id)
        await participant.answer(tx, refund.settle_command_id, Succeeded(commands_pb2.RefundEntrySettled()))


def _new(
    payment: Payment,
    refund_id: UUID,
    amount: Decimal,
    status: RefundStatus,
    origin: Origin,
    reason: str,
    booking_id: UUID,
) -> dict[str, Any]:
    return {
        "id": refund_id,
        "payment_id": payment.id,
        "booking_id": booking_id,
        "origin": origin.value,
        "amount": amount,
        "currency": payment.currency,
        "status": status.value,
        "reason": reason,
        "must_succeed": origin is not Origin.CANCELLATION,
    }


async def _move(tx: Transaction, refund: Refund, status: RefundStatus, external: str = "", failure: str = "") -> None:
    reserved_before, done_before = set_aside(refund.status, refund.amount)
    reserved, done = set_aside(status, refund.amount)
    sums = store.counts(reserved - reserved_before, done - done_before)
    await refund_store.move(tx, refund.id, status, external, failure, sums)
