"""Giving money back. Each function takes the transaction; none calls a provider.

Whatever happens to a refund happens under the row lock of its payment, so its sums are always those of its refunds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import structlog

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Row, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import participant
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.money import Money
from petpro_payment import messages, metrics, store, store_ledger, store_moves, store_refunds
from petpro_payment.batches import require_different
from petpro_payment.domain import Disposition, Origin, Payment, Reason, Refund, RefundStatus
from petpro_payment.errands import Errand, Errands
from petpro_payment.errors import (
    PaymentTakenBack,
    RefundNotFound,
    RefundNotManual,
    RefundNotRetriable,
    TooEarly,
    TooLate,
)
from petpro_payment.moves import refund_move, set_aside
from petpro_payment.outcomes import (
    RefundAccepted,
    RefundByHand,
    RefundFailed,
    RefundLater,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers.capabilities import why_not_refund
from petpro_payment.providers.provider import Providers
from petpro_payment.store_moves import Moved
from petpro_payment.store_refunds import NewRefund

_log = structlog.get_logger()


@dataclass(frozen=True)
class Reservation:
    """An order to set an amount aside."""

    refund_id: UUID
    payment_id: UUID
    money: Money
    reason: str
    booking_id: UUID


@dataclass(frozen=True)
class Submission:
    """An order to send a reserved refund to the provider."""

    refund_id: UUID
    command_id: str
    must_succeed: bool


@dataclass(frozen=True)
class Settlement:
    """An order to tell when the money of a refund's entry is gone."""

    refund_id: UUID
    entry_id: UUID
    command_id: str


async def reserve(tx: Transaction, orders: Sequence[Reservation]) -> list[Answer]:
    """Sets amounts of captured payments aside, so that no other refund can take them.

    Raises NotTogether when two orders are about one payment.
    """
    require_different(order.payment_id for order in orders)
    store.hold(tx, *(order.refund_id for order in orders))
    asked = store_refunds.before([order.refund_id for order in orders])
    payments, rows = await store.lock_payments_then(tx, [order.payment_id for order in orders], asked)
    before = {row.id: row for row in rows}
    decided = [_decide(order, payments.get(order.payment_id), before[order.refund_id]) for order in orders]
    store_refunds.add(tx, [each for each in decided if isinstance(each, NewRefund)])
    return [Succeeded(commands_pb2.RefundReserved()) if isinstance(each, NewRefund) else each for each in decided]


def _decide(order: Reservation, payment: Payment | None, before: Row) -> NewRefund | Answer:
    if before.was_called_off:
        return Refused(Reason.CALLED_OFF)
    if payment is None or not payment.captured:
        return Refused(Reason.PAYMENT_NOT_CAPTURED)
    if before.known_status is not None:
        is_released = before.known_status == RefundStatus.RELEASED
        return Refused(Reason.CALLED_OFF) if is_released else Succeeded(commands_pb2.RefundReserved())
    if order.money.currency != payment.currency or not 0 < order.money.amount <= payment.refundable:
        return Refused(Reason.REFUND_EXCEEDS_PAYMENT)
    status, origin = RefundStatus.RESERVED, Origin.CANCELLATION
    return NewRefund(order.refund_id, payment, order.booking_id, origin, order.money.amount, status, order.reason)


async def release(tx: Transaction, refund_id: UUID) -> Answer:
    """Undoes `reserve`, also before it came. Raises TooLate when the provider may know of the refund."""
    store.hold(tx, refund_id)
    found = await store_refunds.lock(tx, refund_id)
    if found is None:
        store.call_off(tx, refund_id)
        return Succeeded(commands_pb2.RefundReleased())
    _, refund = found
    if refund.status is RefundStatus.RESERVED:
        store_moves.move(tx, _moved(refund, RefundStatus.RELEASED))
    elif refund.status not in (RefundStatus.RELEASED, RefundStatus.REFUSED):
        raise TooLate(refund_id=refund_id, status=refund.status)
    return Succeeded(commands_pb2.RefundReleased())


async def submit(tx: Transaction, orders: Sequence[Submission], errands: Errands) -> list[Answer]:
    """Has reserved refunds sent to the provider after the commit. Raises TooEarly when one is not there yet."""
    found, _ = await store_refunds.reserved_or_locked(tx, [order.refund_id for order in orders])
    ordered = [_ordered(found[order.refund_id][1], order) for order in orders if order.refund_id in found]
    new = [refund for refund in ordered if found[refund.id][1].status is RefundStatus.RESERVED]
    again = [refund for refund in ordered if found[refund.id][1].status.is_submitted]
    claimed = new[: errands.room_for(tx)]
    store_refunds.submit(tx, [*new, *again], len(claimed), errands.lease_seconds)
    errands.hand_over(tx, [Errand(refund._replace(attempts=1), found[refund.id][0]) for refund in claimed])
    return [await _submitted(tx, order.refund_id, found.get(order.refund_id)) for order in orders]


def _ordered(refund: Refund, order: Submission) -> Refund:
    """A refund as it is once it is submitted by the order."""
    status, command_id, trace = RefundStatus.SUBMITTED, order.command_id, participant.trace_of(order.command_id)
    return refund._replace(status=status, command_id=command_id, must_succeed=order.must_succeed, trace=trace)


async def _submitted(tx: Transaction, refund_id: UUID, found: tuple[Payment, Refund] | None) -> Answer:
    if found is None:
        if await store.was_called_off(tx, refund_id):
            return Refused(Reason.CALLED_OFF)
        raise TooEarly(refund_id=refund_id)
    match found[1].status.stored:
        case RefundStatus.RESERVED | RefundStatus.SUBMITTED:
            return Pending()
        case RefundStatus.RELEASED:
            return Refused(Reason.CALLED_OFF)
        case RefundStatus.REFUSED:
            return Refused(Reason.REFUND_REFUSED)
        case status:
            return Succeeded(commands_pb2.RefundSubmitted(refund_status=status))


async def settle(tx: Transaction, orders: Sequence[Settlement]) -> list[Answer]:
    """Tells when refunds are paid, at once or when the provider reports the money gone. Raises TooEarly.

    Their entries may then be settled, which is done with the clinic's next settlement.
    """
    known = store_ledger.known([order.entry_id for order in orders])
    found, [entries] = await store_refunds.reserved_or_locked(tx, [order.refund_id for order in orders], known)
    if missing := {order.refund_id for order in orders} - found.keys():
        raise TooEarly(refund_id=missing.pop())
    if missing := {order.entry_id for order in orders} - set(entries.scalars()):
        raise TooEarly(entry_id=missing.pop())
    waiting = [order for order in orders if found[order.refund_id][1].status is not RefundStatus.SUCCEEDED]
    store_refunds.await_settlement(tx, [(order.refund_id, order.command_id, order.entry_id) for order in waiting])
    return [Pending() if order in waiting else Succeeded(commands_pb2.RefundEntrySettled()) for order in orders]


async def give_back(tx: Transaction, payment: Payment, origin: Origin) -> Decimal:
    """Has all that is left of a locked, captured payment sent back, once; how much that is."""
    known = await store_refunds.whole_refund(tx, payment.id)
    if known is not None:
        return known.amount
    amount = payment.refundable
    if amount:
        status, reason = RefundStatus.SUBMITTED, origin.value
        store_refunds.add(tx, [NewRefund(new_id(), payment, payment.booking_id, origin, amount, status, reason)])
    return amount


def learn(
    tx: Transaction,
    payment: Payment,
    refund: Refund,
    outcome: RefundOutcome,
    pause: float | None = None,
    *,
    is_current: bool = False,
) -> Disposition:
    """Makes of a refund what the outcome says, under its payment's lock, and answers whoever waits for it.

    If it is on its way then, it is looked at after `pause` seconds, where that is told. What it becomes is written with
    the commit. `is_current` as with `refund_move`.
    """
    _watch(refund, outcome)
    status = refund_move(refund, outcome, is_current=is_current)
    is_still = status is None or refund.paid_out_reference  # what a person has paid, no word on the own attempt undoes
    if pause is not None and (is_still or status in (RefundStatus.UNKNOWN, RefundStatus.WAITING)):
        store_moves.postpone_refund(tx, refund.id, pause)
    if status is None or is_still:
        return Disposition.IGNORED
    if status is RefundStatus.UNKNOWN:
        store_moves.mark_unknown(tx, refund.id)
        return Disposition.APPLIED
    if isinstance(outcome, RefundLater):
        store_moves.put_off(tx, refund.id, outcome.cause)
        return Disposition.IGNORED if refund.status is status else Disposition.APPLIED
    external = "" if isinstance(outcome, RefundRefused | RefundByHand | Unknown) else outcome.external_reference
    failure = outcome.code if isinstance(outcome, RefundRefused | RefundByHand | RefundFailed) else ""
    store_moves.move_late(tx, _moved(refund, status, external, failure, pause or 0.0))
    messages.tell_refund(tx, payment, refund, status)
    if status.is_for_a_person:
        metrics.MANUAL_REFUNDS.inc()
        _log.error("refund needs a person", refund_id=str(refund.id), payment_id=str(payment.id), cause=failure)
    _answer(tx, refund, status)
    return Disposition.APPLIED


def _watch(refund: Refund, outcome: RefundOutcome) -> None:
    """Alarms when a provider makes a refund that had ended here without it, or failed there: the money may go twice."""
    has_ended = refund.status in (RefundStatus.REFUSED, RefundStatus.MANUAL, RefundStatus.SUCCEEDED)
    if not has_ended or not isinstance(outcome, RefundAccepted | RefundSucceeded):
        return
    is_another = refund.status is RefundStatus.MANUAL and refund.external_reference != outcome.external_reference
    if refund.external_reference is None or is_another:
        metrics.MANUAL_REFUNDS.inc()
        _log.error("provider makes a refund after all", refund_id=str(refund.id), status=refund.status)


async def pay_out(tx: Transaction, refund_id: UUID, reference: str, *, dry_run: bool) -> Refund:
    """A person has paid the customer in another way; `reference` says where that can be looked up.

    Whoever waits for the refund is answered. The refund as it is then. Raises RefundNotFound, RefundNotManual and
    PaymentTakenBack.
    """
    payment, refund = await _for_a_person(tx, refund_id)
    if not dry_run:
        store_moves.pay_out(tx, refund_id, reference)
        messages.tell_refund(tx, payment, refund, RefundStatus.SUCCEEDED)
        _answer(tx, refund, RefundStatus.SUCCEEDED)
    return refund._replace(status=RefundStatus.SUCCEEDED)


async def retry(tx: Transaction, providers: Providers, refund_id: UUID, *, dry_run: bool) -> Refund:
    """Has a refund that its provider has not paid sent there again, under its own id and a new key.

    The refund as it is then. Raises RefundNotFound, RefundNotManual, PaymentTakenBack and RefundNotRetriable.
    """
    payment, refund = await _for_a_person(tx, refund_id)
    provider = providers.get(payment.provider)
    if provider is None or payment.paid_at is None or refund.status is RefundStatus.REVERSED:
        raise RefundNotRetriable(provider=payment.provider, cause=refund.failure_reason or "")
    since = payment.now - payment.paid_at
    cannot = why_not_refund(provider.capabilities, payment.payment_method, refund.money, payment.captured, since)
    if cannot:
        raise RefundNotRetriable(provider=payment.provider, cause=cannot)
    if not dry_run:
        store_moves.retry(tx, refund_id)
    return refund._replace(status=RefundStatus.SUBMITTED)


async def _for_a_person(tx: Transaction, refund_id: UUID) -> tuple[Payment, Refund]:
    found = await store_refunds.lock(tx, refund_id)
    if found is None:
        raise RefundNotFound
    if not found[1].status.is_for_a_person:
        raise RefundNotManual(status=found[1].status)
    if found[0].is_taken_back:
        raise PaymentTakenBack(payment_id=found[0].id)
    return found


def _answer(tx: Transaction, refund: Refund, status: RefundStatus) -> None:
    if refund.command_id and refund.status.is_submitted:
        submitted = Succeeded(commands_pb2.RefundSubmitted(refund_status=status))
        refused = Refused(Reason.REFUND_REFUSED)
        participant.answer(tx, refund.command_id, refused if status is RefundStatus.REFUSED else submitted)
    if status is RefundStatus.SUCCEEDED and refund.settle_command_id:
        participant.answer(tx, refund.settle_command_id, Succeeded(commands_pb2.RefundEntrySettled()))


def _moved(refund: Refund, status: RefundStatus, external: str = "", failure: str = "", pause: float = 0.0) -> Moved:
    reserved_before, done_before = set_aside(refund.status, refund.amount)
    reserved, done = set_aside(status, refund.amount)
    return Moved(refund, status, external, failure, reserved - reserved_before, done - done_before, pause)
