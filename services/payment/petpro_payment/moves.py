"""The rules: what becomes of a payment or a refund when something is learned of it.

    payment   pending ──► processing ──► success ──► partially_refunded ──► refunded
                 │         unknown ├───► failed ─────┐ money that arrives after all is
                 │                 └───► cancelled ──┘ success at once, and goes back in full
                 └► at_clinic ─────────────┘

    refund    reserved ──► submitted ──► pending ──► succeeded ──► reversed, sent back by the bank ─┐
                 │          unknown ├──► refused └─► manual, and refused ones that must succeed ────┤
                 └► released waiting└──────────────► manual                                         │
                                   submitted again by a person, succeeded when paid in another way

A payment is `pending` only while the provider cannot know of it, `unknown` while nobody knows what that did, and a
refund `waiting` while its provider has made none and may later. Of a payment that is `at_clinic` we take nothing. What
is captured never goes back but by a refund; what a provider takes back by itself is quarantined. The trigger
`step_refund` lets a refund take no other way.
"""

from dataclasses import dataclass
from decimal import Decimal

from petpro_common.money import Money
from petpro_payment import outcomes
from petpro_payment.domain import Origin, Payment, PaymentStatus, Reason, Refund, RefundStatus
from petpro_payment.outcomes import PaymentOutcome, RefundOutcome

_SET_ASIDE = (RefundStatus.RESERVED, RefundStatus.SUBMITTED, RefundStatus.PENDING, RefundStatus.MANUAL)


@dataclass(frozen=True)
class Move:
    """What becomes of a payment. Without a status it stays as it is. `quarantine`: what its provider has instead."""

    status: PaymentStatus | None = None
    reason: str | None = None
    give_back: Origin | None = None
    quarantine: Money | None = None


STAY = Move()


def payment_move(payment: Payment, outcome: PaymentOutcome) -> Move:
    """Where `outcome` brings the payment, however late or often it is told, and in whatever order."""
    told = held(payment, outcome)
    if told is not None:
        return _held(payment, told)
    match outcome:
        case outcomes.Declined(reason=reason) if payment.is_open:
            return Move(PaymentStatus.FAILED, reason)
        case outcomes.CalledOff() if payment.is_open and payment.is_called_off:
            return Move(PaymentStatus.CANCELLED, Reason.CALLED_OFF)
        case outcomes.CalledOff() if payment.is_open:
            return Move(PaymentStatus.FAILED, Reason.PAYMENT_TIMED_OUT)
        case outcomes.Processing() if payment.is_open and not _is_known(payment, outcome):
            return Move(PaymentStatus.PROCESSING)
        case outcomes.Unknown() if payment.status is PaymentStatus.PROCESSING:
            return Move(PaymentStatus.UNKNOWN)
        case _:
            return STAY


def held(payment: Payment, outcome: PaymentOutcome) -> Money | None:
    """What the provider says that it has of a payment: nothing, where it has taken back what was captured.

    None where it does not say.
    """
    match outcome:
        case outcomes.Captured(external_reference=name, money=money):
            return Money(payment.captured + money.amount, money.currency) if _is_second(payment, name, money) else money
        case outcomes.Declined() | outcomes.CalledOff() if outcome.is_current and payment.captured:
            is_the_same = outcome.external_reference == payment.external_reference
            return Money(Decimal(0), payment.currency) if is_the_same else None
        case _:
            return None


def _is_second(payment: Payment, name: str, money: Money) -> bool:
    """Whether it was taken beside what was captured: the provider has another name for it."""
    is_other = bool(name and payment.external_reference and name != payment.external_reference)
    return is_other and payment.captured > 0 and money.currency == payment.currency


def _is_known(payment: Payment, outcome: outcomes.Processing) -> bool:
    is_known = (payment.status, payment.external_reference) == (PaymentStatus.PROCESSING, outcome.external_reference)
    return is_known and outcome.customer_action in ("", (payment.payment_details or {}).get("customer_action"))


def _held(payment: Payment, money: Money) -> Move:
    """What is quarantined is a person's, whatever comes afterwards."""
    if payment.quarantined_at:
        return STAY
    if money != payment.money:
        return Move(PaymentStatus.FAILED if payment.is_open else None, Reason.PAYMENT_REFUSED, quarantine=money)
    if payment.is_unpaid:
        return Move(PaymentStatus.SUCCESS, give_back=Origin.LATE_PAYMENT)
    if payment.is_open:
        return Move(PaymentStatus.SUCCESS, give_back=Origin.CALLED_OFF if payment.is_called_off else None)
    return STAY


def refund_move(refund: Refund, outcome: RefundOutcome, *, is_current: bool = False) -> RefundStatus | None:
    """The refund's next status, or None when `outcome` brings nothing new. A provider's failure is final.

    `is_current`: the provider was asked since the attempt in hand began, and this is no older word that comes late.
    """
    if is_of_earlier(refund, outcome, is_current=is_current):
        return None
    if refund.status.is_submitted:
        return _submitted_move(refund, outcome)
    match outcome:
        case outcomes.RefundSucceeded() if refund.status is RefundStatus.PENDING:
            return RefundStatus.SUCCEEDED
        case outcomes.RefundFailed() if refund.status is RefundStatus.PENDING:
            return RefundStatus.MANUAL
        case outcomes.RefundFailed() if refund.status is RefundStatus.SUCCEEDED:
            return RefundStatus.REVERSED
        case _:
            return None


def is_of_earlier(refund: Refund, outcome: RefundOutcome, *, is_current: bool) -> bool:
    """Whether this is about an attempt that has failed, after which a person had the refund tried again.

    Until another has been taken on, one of which the provider says now that it is being made, is in hand: two would be
    paid.
    """
    name, has_failed = getattr(outcome, "external_reference", None), isinstance(outcome, outcomes.RefundFailed)
    is_over = name in refund.failed_references
    if refund.status.is_submitted:
        return is_over and (has_failed or not is_current)
    return name != refund.external_reference and (is_over or (has_failed and refund.retries > 0))


def _submitted_move(refund: Refund, outcome: RefundOutcome) -> RefundStatus | None:
    match outcome:
        case outcomes.Unknown():
            return None if refund.status is RefundStatus.UNKNOWN else RefundStatus.UNKNOWN
        case outcomes.RefundLater():
            return RefundStatus.WAITING
        case outcomes.RefundAccepted():
            return RefundStatus.PENDING
        case outcomes.RefundSucceeded():
            return RefundStatus.SUCCEEDED
        case outcomes.RefundRefused() if not refund.must_succeed:
            return RefundStatus.REFUSED
        case outcomes.RefundRefused() | outcomes.RefundByHand() | outcomes.RefundFailed():
            return RefundStatus.MANUAL


def set_aside(status: RefundStatus, amount: Decimal) -> tuple[Decimal, Decimal]:
    """What a refund in this status counts for in (refund_reserved, refund_done) of its payment."""
    if status.stored in _SET_ASIDE:
        return amount, Decimal(0)
    return Decimal(0), amount if status is RefundStatus.SUCCEEDED else Decimal(0)
