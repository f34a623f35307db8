"""The life of a refund.

    accepted ─► pending ─► succeeded ─reversed (/fail)─► failed
                   └─────► failed

Invariant: the refunds of a payment that have not failed never exceed what was captured. It is checked under
the store's write lock, which every refund takes.
"""

from dataclasses import replace

from devstack.sandbox import payments, webhooks
from devstack.sandbox.behaviours import Plan, Returning
from devstack.sandbox.errors import NotFound, ProviderError, RefundRefused, WrongState
from devstack.sandbox.idempotency import once
from devstack.sandbox.money import decimal_string, minor_units
from devstack.sandbox.objects import Answer, PaymentIntent, Refund, RefundStatus, new_id
from devstack.sandbox.requests import CreateRefund
from devstack.sandbox.settings import Timings
from devstack.sandbox.store import Transaction


def create(tx: Transaction, timings: Timings, now: int, key: str, request: CreateRefund) -> Answer:
    """Accept a refund, which settles later, or refuse it for good; once under this key."""
    return once(tx, key, request, lambda: _create(tx, timings, now, request))


def _create(tx: Transaction, timings: Timings, now: int, request: CreateRefund) -> Answer:
    payment = payments.find(tx, request.payment_intent)
    amount = minor_units(request.amount, payment.currency)
    refusal = _refusal(payment, amount)
    if refusal is not None:
        return Answer(refusal.status, refusal.body())
    refund = _new(request, payment, amount, timings, now)
    tx.add_refund(refund)
    _tell(tx, timings, now, payment.plan, refund)
    return Answer(201, refund.json(), lost=payment.plan.behaviour.refund_answer_lost)


def _refusal(payment: PaymentIntent, amount: int) -> ProviderError | None:
    if payment.status != "succeeded":
        message = f"A payment intent that is {payment.status} has nothing to refund."
        return WrongState("payment_intent_not_captured", message, payment_intent=payment.json())
    if amount > payment.refundable:
        left = decimal_string(payment.refundable, payment.currency)
        message = f"The refund exceeds what is left of the payment: {left} {payment.currency}."
        return RefundRefused("refund_exceeds_captured", message, payment_intent=payment.json())
    if payment.plan.behaviour.returning is Returning.REFUSED:
        message = "The customer's bank does not take this money back."
        return RefundRefused("refund_refused", message, payment_intent=payment.json())
    return None


def _new(request: CreateRefund, payment: PaymentIntent, amount: int, timings: Timings, now: int) -> Refund:
    delay = payment.plan.refund_settling(timings)
    fails = payment.plan.behaviour.returning is Returning.FAILS_LATER
    end: RefundStatus = "failed" if fails else "succeeded"
    return Refund(
        id=new_id("re", now),
        payment_intent=payment.id,
        reference=request.reference,
        amount=amount,
        currency=payment.currency,
        status="succeeded" if payment.plan.behaviour.returning is Returning.SUCCEEDS_AT_ONCE else "pending",
        reason=request.reason,
        created=now,
        due_at=None if delay is None else now + round(delay * 1_000_000),
        due_status=None if delay is None else end,
    )


def find(tx: Transaction, refund_id: str) -> Refund:
    refund = tx.refund(refund_id)
    if refund is None:
        raise NotFound("refund_not_found", f"No refund {refund_id[:64]!r}.")
    return refund


def settle(tx: Transaction, timings: Timings, now: int, refund_id: str) -> Answer:
    """Play the bank that lets a pending refund through; again does nothing more."""
    refund = find(tx, refund_id)
    if refund.status == "failed":
        raise WrongState("refund_failed", "A refund that failed stays failed.", refund=refund.json())
    return _end(tx, timings, now, refund, "succeeded")


def fail(tx: Transaction, timings: Timings, now: int, refund_id: str) -> Answer:
    """Play the bank that sends the money back, even after it had gone through; again does nothing more."""
    return _end(tx, timings, now, find(tx, refund_id), "failed")


def settle_due(tx: Transaction, timings: Timings, now: int) -> None:
    """Bring every refund whose time has come to its end."""
    for refund in tx.refunds_due(now):
        _end(tx, timings, now, refund, refund.due_status or "succeeded")


def _end(tx: Transaction, timings: Timings, now: int, refund: Refund, status: RefundStatus) -> Answer:
    if refund.status == status:
        return Answer(200, refund.json())
    failure = "refund_failed" if status == "failed" else ""
    ended = replace(refund, status=status, failure=failure, due_at=None, due_status=None)
    tx.end_refund(ended.id, status, failure)
    _tell(tx, timings, now, tx.plan(refund.payment_intent), ended)
    return Answer(200, ended.json())


def _tell(tx: Transaction, timings: Timings, now: int, plan: Plan, refund: Refund) -> None:
    delays = plan.webhook_delays(timings, final=refund.status != "pending")
    webhooks.record(tx, now, f"refund.{refund.status}", refund.json(), delays)
