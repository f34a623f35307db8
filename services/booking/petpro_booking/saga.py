"""The sagas of PetPro, as data. Each reads from top to bottom; what a step undoes stands beside it.

Local steps run in booking's own transaction (`checkout`, `cancellation`); the others are commands to payment. Those
that go `along` travel with the one before, and so does one that goes `ahead`, which asks to be told of its end.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from petpro.payment.v1 import commands_pb2 as payment
from petpro.type.v1 import money_pb2
from petpro_common.instants import timestamp
from petpro_common.saga import Local, Remote, Saga, Step, StepKind
from petpro_common.saga.model import Data

COMPENSATABLE, PIVOT, RETRIABLE = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE

# A provider may take a weekend to take a refund on (a card that its bank has not settled, a balance that does not
# reach), and weeks to send the money back. Payment says by itself when that is so; asking again only makes up for an
# answer that was lost.
_UNTIL_SUBMITTED = timedelta(days=7)
_UNTIL_SETTLED = timedelta(days=30)
_BETWEEN_LOOKS = timedelta(minutes=10)


def _money(data: Data, field: str) -> money_pb2.Money:
    return money_pb2.Money(amount=data[field], currency_code=data["currency"])


def _requires_approval(data: Data) -> bool:
    return bool(data["requires_approval"])


def _gives_money_back(data: Data) -> bool:
    return bool(data["gives_money_back"])


def _take_payment(data: Data) -> payment.TakePayment:
    return payment.TakePayment(
        payment_id=data["payment_id"],
        booking_id=data["booking_id"],
        user_id=data["user_id"],
        clinic_id=data["clinic_id"],
        amount=_money(data, "amount"),
        payment_method=data["payment_method"],
        payment_token=data["payment_token"],
        deadline=timestamp(datetime.fromisoformat(data["pay_until"])),
    )


def _payment_taken(taken: payment.PaymentTaken) -> Data:
    if taken.at_clinic:
        return {"at_clinic": True}
    return {"paid_at": taken.paid_at.ToJsonString()}


def _cancel_payment(data: Data) -> payment.CancelPayment:
    return payment.CancelPayment(
        payment_id=data["payment_id"], booking_id=data["booking_id"], reason=data.get("failure_reason", "")
    )


def _post_booking_fee(data: Data) -> payment.PostBookingFee:
    return payment.PostBookingFee(
        entry_id=data["entry_id"],
        payment_id=data["payment_id"],
        booking_id=data["booking_id"],
        clinic_id=data["clinic_id"],
        amount=_money(data, "amount"),
        commission_rate=data["commission_rate"],
    )


def _reserve_refund(data: Data) -> payment.ReserveRefund:
    return payment.ReserveRefund(
        refund_id=data["refund_id"],
        payment_id=data["payment_id"],
        booking_id=data["booking_id"],
        amount=_money(data, "refund_amount"),
        reason=data["reason"],
    )


def _release_refund(data: Data) -> payment.ReleaseRefund:
    return payment.ReleaseRefund(refund_id=data["refund_id"], payment_id=data["payment_id"])


def _post_refund_entry(data: Data) -> payment.PostRefundEntry:
    return payment.PostRefundEntry(
        entry_id=data["entry_id"],
        refund_id=data["refund_id"],
        booking_id=data["booking_id"],
        clinic_id=data["clinic_id"],
    )


def _cancel_refund_entry(data: Data) -> payment.CancelRefundEntry:
    return payment.CancelRefundEntry(entry_id=data["entry_id"], booking_id=data["booking_id"])


def _submit_refund(data: Data) -> payment.SubmitRefund:
    return payment.SubmitRefund(refund_id=data["refund_id"], must_succeed=data["must_succeed"])


def _refund_submitted(submitted: payment.RefundSubmitted) -> dict[str, Any]:
    return {"refund_status": submitted.refund_status}


def _settle_refund_entry(data: Data) -> payment.SettleRefundEntry:
    return payment.SettleRefundEntry(entry_id=data["entry_id"], refund_id=data["refund_id"])


_TAKE_PAYMENT = Remote("payment", _take_payment, payment.PaymentTaken, _payment_taken)
_SUBMIT_REFUND = Remote("payment", _submit_refund, payment.RefundSubmitted, _refund_submitted)

# fmt: off
CHECKOUT = Saga("checkout", 1, (
    Step("begin",            COMPENSATABLE, Local("begin_checkout"), undo=Local("end_checkout")),
    Step("approve",          COMPENSATABLE, Local("await_approval"), when=_requires_approval),
    Step("pay",              COMPENSATABLE, _TAKE_PAYMENT, undo=Remote("payment", _cancel_payment)),
    Step("confirm",          PIVOT,         Local("confirm_booking")),
    Step("post_booking_fee", RETRIABLE,     Remote("payment", _post_booking_fee)),
), forgets=frozenset({"payment_token", "notes"}))

# A customer's: if the refund is refused, the booking stands as before.
CANCELLATION = Saga("cancellation", 4, (
    Step("request",           COMPENSATABLE, Local("lock_booking"), undo=Local("lift_lock")),
    Step("reserve_refund",    COMPENSATABLE, Remote("payment", _reserve_refund),
         undo=Remote("payment", _release_refund), when=_gives_money_back),
    Step("post_refund_entry", COMPENSATABLE, Remote("payment", _post_refund_entry),
         undo=Remote("payment", _cancel_refund_entry), when=_gives_money_back, along=True),
    Step("submit_refund",     PIVOT,         _SUBMIT_REFUND,
         when=_gives_money_back, along=True, patience=_BETWEEN_LOOKS, horizon=_UNTIL_SUBMITTED),
    Step("cancel_booking",    RETRIABLE,     Local("cancel_booking")),
    Step("settle_refund",     RETRIABLE,     Remote("payment", _settle_refund_entry),
         when=_gives_money_back, ahead=True, patience=_BETWEEN_LOOKS, horizon=_UNTIL_SETTLED),
), forgets=frozenset({"reason"}))

# A clinic's or an administrator's: it goes through whatever the provider says.
CLINIC_CANCELLATION = Saga("clinic_cancellation", 4, (
    Step("request",           PIVOT,     Local("lock_booking")),
    Step("cancel_booking",    RETRIABLE, Local("cancel_booking")),
    Step("reserve_refund",    RETRIABLE, Remote("payment", _reserve_refund), when=_gives_money_back),
    Step("post_refund_entry", RETRIABLE, Remote("payment", _post_refund_entry), when=_gives_money_back, along=True),
    Step("submit_refund",     RETRIABLE, _SUBMIT_REFUND,
         when=_gives_money_back, along=True, patience=_BETWEEN_LOOKS, horizon=_UNTIL_SUBMITTED),
    Step("settle_refund",     RETRIABLE, Remote("payment", _settle_refund_entry),
         when=_gives_money_back, ahead=True, patience=_BETWEEN_LOOKS, horizon=_UNTIL_SETTLED),
), forgets=frozenset({"reason"}))

# Who did not come gets the rest back: it goes through likewise. What booking has to do is done where it is started.
NO_SHOW = Saga("no_show", 4, (
    Step("reserve_refund",    RETRIABLE, Remote("payment", _reserve_refund)),
    Step("post_refund_entry", RETRIABLE, Remote("payment", _post_refund_entry), along=True),
    Step("submit_refund",     RETRIABLE, _SUBMIT_REFUND,
         along=True, patience=_BETWEEN_LOOKS, horizon=_UNTIL_SUBMITTED),
    Step("settle_refund",     RETRIABLE, Remote("payment", _settle_refund_entry),
         ahead=True, patience=_BETWEEN_LOOKS, horizon=_UNTIL_SETTLED),
))
# fmt: on


def _in_a_day(saga: Saga) -> Saga:
    """As version 3 was: a refund has as long to be taken on as any other step."""
    steps = (
        replace(step, patience=Step.patience, horizon=Step.horizon) if step.name == "submit_refund" else step
        for step in saga.steps
    )
    return replace(saga, version=3, steps=tuple(steps))


def _none_ahead(saga: Saga) -> Saga:
    """As version 2 was: the entry's command is sent when its step is reached."""
    return replace(saga, version=2, steps=tuple(replace(step, ahead=False) for step in _in_a_day(saga).steps))


def _one_by_one(saga: Saga) -> Saga:
    """As version 1 was: no command travels with another."""
    return replace(saga, version=1, steps=tuple(replace(step, along=False) for step in _none_ahead(saga).steps))


# What is started, and what is only finished: versions of the release before, or of the next (docs/saga.md).
SAGAS = (CHECKOUT, CANCELLATION, CLINIC_CANCELLATION, NO_SHOW)
FINISHING = tuple(
    as_it_was(saga)
    for as_it_was in (_in_a_day, _none_ahead, _one_by_one)
    for saga in (CANCELLATION, CLINIC_CANCELLATION, NO_SHOW)
)
