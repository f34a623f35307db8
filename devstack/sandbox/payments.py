"""The life of a payment intent.

    tok_requires_action ─► requires_action ─pay─► succeeded ─► refunds
                              │      └─cancel, expire─► cancelled ─late money─► succeeded
    tok_processing ─────► processing ─after a while─► succeeded
                              └─cancel─► cancelled
    tok_declined ───────► failed
    everything else ────► succeeded

Every function takes the caller's transaction. What is captured is never taken back but by a refund.
"""

from dataclasses import replace

from devstack.sandbox import webhooks
from devstack.sandbox.behaviours import FAILURES, Taking, Telling, plan
from devstack.sandbox.errors import InternalFault, NotFound, PaymentDeclined, WrongState
from devstack.sandbox.idempotency import once
from devstack.sandbox.money import decimal_string, minor_units
from devstack.sandbox.objects import Answer, PaymentIntent, PaymentStatus, new_id
from devstack.sandbox.requests import CreatePaymentIntent, PayPaymentIntent
from devstack.sandbox.settings import Timings
from devstack.sandbox.store import Transaction

_FIRST_STATUS: dict[Taking, PaymentStatus] = {
    Taking.AT_ONCE: "succeeded",
    Taking.AFTER_A_WHILE: "processing",
    Taking.WHEN_THE_CUSTOMER_ACTS: "requires_action",
    Taking.NEVER: "failed",
}


def create(tx: Transaction, timings: Timings, now: int, key: str, request: CreatePaymentIntent) -> Answer:
    """Take the money, or start to, as the token says; once under this key."""
    return once(tx, key, request, lambda: _create(tx, timings, now, key, request))


def _create(tx: Transaction, timings: Timings, now: int, key: str, request: CreatePaymentIntent) -> Answer:
    payment = _new(request, timings, now)
    behaviour = payment.plan.behaviour
    if behaviour.fails_first_call and tx.play_fault(key):
        fault = InternalFault("internal_error", "Something went wrong on our side; nothing was done.")
        return Answer(fault.status, fault.body(), kept=False)
    tx.add_payment(payment)
    if behaviour.telling is Telling.OUT_OF_ORDER:
        _tell(tx, timings, now, replace(payment, status="processing", captured=0, captured_at=None))
    if payment.status != "requires_action":
        _tell(tx, timings, now, payment)
    if payment.failure:
        declined = PaymentDeclined(payment.failure, FAILURES[payment.failure], payment_intent=payment.json())
        return Answer(declined.status, declined.body())
    return Answer(201, payment.json(), lost=behaviour.payment_answer_lost)


def _new(request: CreatePaymentIntent, timings: Timings, now: int) -> PaymentIntent:
    amount = minor_units(request.amount, request.currency)
    chosen = plan(request.payment_token, request.payment_method)
    status = _FIRST_STATUS[chosen.behaviour.taking]
    settling = round(chosen.settling(timings) * 1_000_000)
    return PaymentIntent(
        id=new_id("pi", now),
        reference=request.reference,
        amount=amount,
        currency=request.currency,
        payment_method=request.payment_method,
        status=status,
        plan=chosen,
        metadata=request.metadata,
        created=now,
        captured=amount if status == "succeeded" else 0,
        captured_at=now if status == "succeeded" else None,
        settles_at=now + settling if status == "processing" else None,
        failure=chosen.behaviour.failure,
    )


def find(tx: Transaction, payment_id: str) -> PaymentIntent:
    payment = tx.payment(payment_id)
    if payment is None:
        raise NotFound("payment_intent_not_found", f"No payment intent {payment_id[:64]!r}.")
    return payment


def cancel(tx: Transaction, timings: Timings, now: int, payment_id: str) -> Answer:
    """Call it off before the money is taken; again does nothing more."""
    return _call_off(tx, timings, now, payment_id, "requested")


def expire(tx: Transaction, timings: Timings, now: int, payment_id: str) -> Answer:
    """Play a customer who never pays."""
    return _call_off(tx, timings, now, payment_id, "expired")


def _call_off(tx: Transaction, timings: Timings, now: int, payment_id: str, reason: str) -> Answer:
    payment = find(tx, payment_id)
    if payment.status == "cancelled":
        return Answer(200, payment.json())
    if payment.status in ("succeeded", "failed"):
        code = "already_captured" if payment.status == "succeeded" else "already_failed"
        message = f"A payment intent that has {payment.status} cannot be cancelled."
        raise WrongState(code, message, payment_intent=payment.json())
    cancelled = replace(payment, status="cancelled", settles_at=None, cancellation_reason=reason)
    return _changed(tx, timings, now, cancelled)


def pay(tx: Transaction, timings: Timings, now: int, payment_id: str, request: PayPaymentIntent) -> Answer:
    """Play the customer who pays; `late` is money that comes after the payment was called off."""
    payment = find(tx, payment_id)
    payable = ("requires_action", "cancelled") if request.late else ("requires_action",)
    if payment.status not in payable:
        message = f"Nobody can pay a payment intent that is {payment.status}."
        raise WrongState("payment_intent_not_payable", message, payment_intent=payment.json())
    amount = request.amount or decimal_string(payment.amount, payment.currency)
    return _changed(tx, timings, now, _captured(payment, minor_units(amount, payment.currency), now))


def settle_due(tx: Transaction, timings: Timings, now: int) -> None:
    """Capture what was processing for long enough."""
    for payment in tx.payments_due(now):
        _changed(tx, timings, now, _captured(payment, payment.amount, now))


def _captured(payment: PaymentIntent, amount: int, now: int) -> PaymentIntent:
    return replace(
        payment, status="succeeded", captured=amount, captured_at=now, settles_at=None, cancellation_reason=""
    )


def _changed(tx: Transaction, timings: Timings, now: int, payment: PaymentIntent) -> Answer:
    tx.save_payment(payment)
    _tell(tx, timings, now, payment)
    return Answer(200, payment.json())


def _tell(tx: Transaction, timings: Timings, now: int, payment: PaymentIntent) -> None:
    delays = payment.plan.webhook_delays(timings, final=payment.status != "processing")
    webhooks.record(tx, now, f"payment_intent.{payment.status}", payment.json(), delays)
