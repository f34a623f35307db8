"""Taking payments and calling them off. Each function takes the transaction; none calls a provider."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog

from petpro_common.db import Transaction
from petpro_common.messaging import participant
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.money import Money
from petpro_payment import messages, metrics, refunds, store, store_refunds
from petpro_payment.domain import Disposition, Origin, Payment, PaymentStatus, Reason
from petpro_payment.errands import Errands
from petpro_payment.moves import Move, held, payment_move
from petpro_payment.outcomes import CalledOff, Captured, Declined, PaymentOutcome, Processing

AT_CLINIC = "pay_at_clinic"
"""The payment method, and in place of a provider's name, of what the clinic takes."""

_log = structlog.get_logger()


async def take(
    tx: Transaction, command_id: str, ordered: dict[str, Any], errands: Errands, cannot: Reason | None = None
) -> Answer:
    """Takes a payment on. The worker asks the provider after the commit, unless it `cannot` take it."""
    payment_id: UUID = ordered["id"]
    store.hold(tx, payment_id)
    is_claimed = bool(ordered["amount"] and not cannot and errands.room_for(tx))
    payment, is_new = await store.add_payment(tx, ordered, errands.lease_seconds if is_claimed else None)
    if payment is None:
        return Refused(Reason.CALLED_OFF)
    if not is_new:
        return await _ordered_again(tx, command_id, payment)
    if payment.amount and cannot:
        await learn(tx, payment, Declined(cannot))
        return Refused(cannot)
    if payment.amount:
        errands.hand_over(tx, [payment] if is_claimed else [])
        return Pending()
    free = Captured("", payment.money, payment.now)
    await learn(tx, payment, free)
    return Succeeded(messages.payment_taken(free))


async def take_at_clinic(tx: Transaction, command_id: str, ordered: dict[str, Any]) -> Answer:
    """Notes that the clinic takes the money. No provider is asked, and nothing will be given back."""
    payment_id: UUID = ordered["id"]
    store.hold(tx, payment_id)
    payment, is_new = await store.add_payment(tx, ordered)
    if payment is None:
        return Refused(Reason.CALLED_OFF)
    if is_new:
        store.leave_to_clinic(tx, payment_id)
        return Succeeded(messages.payment_at_clinic())
    return await _ordered_again(tx, command_id, payment)


async def _ordered_again(tx: Transaction, command_id: str, payment: Payment) -> Answer:
    """Another order about a payment that is there: the same answer, or the same wait."""
    if payment.status is PaymentStatus.AT_CLINIC:
        return Succeeded(messages.payment_at_clinic())
    if payment.is_open:
        store.reorder_payment(tx, payment.id, command_id)
        return Pending()
    if payment.is_unpaid:
        return Refused(payment.failure_reason or Reason.PAYMENT_REFUSED)
    if payment.paid_at is None or await store_refunds.whole_refund(tx, payment.id):
        return Refused(Reason.CALLED_OFF)
    return Succeeded(messages.payment_taken(Captured(payment.external_reference or "", payment.money, payment.paid_at)))


async def cancel(tx: Transaction, command_id: str, payment_id: UUID) -> Answer:
    """Calls a payment off, whatever has become of it. What was taken, or is taken later, goes back in full."""
    store.hold(tx, payment_id)
    payment = await store.lock_payment(tx, payment_id)
    if payment is None:
        store.call_off(tx, payment_id)
        return Succeeded(messages.payment_cancelled())
    if payment.is_open:
        return await _cancel_open(tx, command_id, payment)
    if payment.status is PaymentStatus.AT_CLINIC:
        store.close_unpaid(tx, payment.id, PaymentStatus.CANCELLED, Reason.CALLED_OFF, "")
    if not payment.captured:
        return Succeeded(messages.payment_cancelled(currency=payment.currency))
    amount = await refunds.give_back(tx, payment, Origin.CALLED_OFF)
    return Succeeded(messages.payment_cancelled(amount, payment.currency))


async def _cancel_open(tx: Transaction, command_id: str, payment: Payment) -> Answer:
    called_off = await store.request_cancel(tx, payment.id, command_id)
    if called_off.status is not PaymentStatus.PENDING:
        return Pending()
    await learn(tx, called_off, CalledOff())  # the provider was never asked, and now never will be
    return Succeeded(messages.payment_cancelled(currency=payment.currency))


async def learn(tx: Transaction, payment: Payment, outcome: PaymentOutcome) -> Disposition:
    """Makes of a locked payment what the outcome says, and answers whoever waits for it."""
    move = payment_move(payment, outcome)
    told = held(payment, outcome)
    if payment.quarantined_at and told is not None:
        _log.error("provider tells of a quarantined payment", payment_id=str(payment.id), taken=str(told))
    if move.quarantine is not None:
        _quarantine(tx, payment, move.quarantine)
    if move.status is PaymentStatus.SUCCESS and isinstance(outcome, Captured):
        await _captured(tx, payment, outcome, move)
    elif move.status is PaymentStatus.PROCESSING and isinstance(outcome, Processing):
        store.note_progress(tx, payment.id, outcome)
    elif move.status is PaymentStatus.UNKNOWN:
        store.mark_unknown(tx, payment.id)
    elif move.status is not None:
        _ended_unpaid(tx, payment, outcome, move)
    elif move.quarantine is None:
        return Disposition.IGNORED
    return Disposition.APPLIED if move.quarantine is None else Disposition.QUARANTINED


async def _captured(tx: Transaction, payment: Payment, outcome: Captured, move: Move) -> None:
    store.capture(tx, payment.id, outcome)
    messages.tell_captured(tx, payment)
    if move.give_back is None:
        _answer(tx, payment, Succeeded(messages.payment_taken(outcome)))
        return
    captured = await _locked(tx, payment.id)
    amount = await refunds.give_back(tx, captured, move.give_back)
    _answer(tx, payment, Refused(Reason.CALLED_OFF), amount)


def _ended_unpaid(tx: Transaction, payment: Payment, outcome: PaymentOutcome, move: Move) -> None:
    reason, status = move.reason or Reason.PAYMENT_REFUSED, move.status or PaymentStatus.FAILED
    external: str = getattr(outcome, "external_reference", "")
    store.close_unpaid(tx, payment.id, status, reason, external)
    messages.tell_failed(tx, payment, reason)
    _answer(tx, payment, Refused(reason))


def _answer(tx: Transaction, payment: Payment, to_take: Succeeded | Refused, given_back: Decimal = Decimal(0)) -> None:
    if payment.command_id:
        participant.answer(tx, payment.command_id, to_take)
    if payment.cancel_command_id:
        cancelled = messages.payment_cancelled(given_back, payment.currency)
        participant.answer(tx, payment.cancel_command_id, Succeeded(cancelled))


def _quarantine(tx: Transaction, payment: Payment, taken: Money) -> None:
    captured = payment.captured if taken.currency == payment.currency else 0
    store.quarantine(tx, payment.id, replace(taken, amount=taken.amount - captured))
    metrics.QUARANTINED.inc()
    what = "took another amount than was ordered" if taken.amount else "has taken back what it had captured"
    _log.error(f"provider {what}", payment_id=str(payment.id), taken=str(taken))


async def _locked(tx: Transaction, payment_id: UUID) -> Payment:
    payment = await store.lock_payment(tx, payment_id)
    if payment is None:
        raise LookupError(f"payment {payment_id} is gone")
    return payment
