"""Sagas of the shapes that PetPro has: steps that are skipped, pend, are refused, or stay silent too long."""

from datetime import timedelta
from typing import TypeAlias

from google.protobuf.message import Message

from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.saga.model import Data, Direction, Local, Remote, Saga, Step, StepKind

Commands: TypeAlias = dict[type[Message], tuple[str, Direction]]

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
COMPENSATABLE, PIVOT, RETRIABLE = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE
QUICK, PATIENT = timedelta(seconds=2), timedelta(seconds=10)
SHORT, LONG = timedelta(seconds=45), timedelta(hours=24)


def _needs_approval(data: Data) -> bool:
    return bool(data["needs_approval"])


def _is_paid(data: Data) -> bool:
    return bool(data["is_paid"])


def _learn_receipt(taken: payment.PaymentTaken) -> Data:
    return {"receipt": taken.external_reference}


_TAKE = Remote(
    "payment", lambda data: payment.TakePayment(payment_id=data["key"]), payment.PaymentTaken, _learn_receipt
)
_CANCEL = Remote("payment", lambda data: payment.CancelPayment(payment_id=data["key"]))
_FEE = Remote("payment", lambda data: payment.PostBookingFee(payment_id=data["key"]))
_RESERVE = Remote("payment", lambda data: payment.ReserveRefund(payment_id=data["key"]))
_RELEASE = Remote("payment", lambda data: payment.ReleaseRefund(payment_id=data["key"]))
_ENTRY = Remote("payment", lambda data: payment.PostRefundEntry(booking_id=data["key"]))
_CANCEL_ENTRY = Remote("payment", lambda data: payment.CancelRefundEntry(booking_id=data["key"]))
_SUBMIT = Remote("payment", lambda data: payment.SubmitRefund(refund_id=data["key"]))
_SETTLE = Remote("payment", lambda data: payment.SettleRefundEntry(refund_id=data["key"]))

# fmt: off
CHECKOUT = Saga("checkout", 1, (
    Step("begin",   COMPENSATABLE, Local("begin"), undo=Local("un_begin"), patience=QUICK, horizon=SHORT),
    Step("approve", COMPENSATABLE, Local("approve"), when=_needs_approval, patience=PATIENT, horizon=SHORT),
    Step("pay",     COMPENSATABLE, _TAKE, undo=_CANCEL, patience=QUICK, horizon=SHORT),
    Step("confirm", PIVOT,         Local("confirm"), patience=QUICK, horizon=LONG),
    Step("fee",     RETRIABLE,     _FEE, patience=QUICK, horizon=LONG),
), forgets=frozenset({"secret"}))

CANCELLATION = Saga("cancellation", 1, (
    Step("request", COMPENSATABLE, Local("request"), undo=Local("un_request"), patience=QUICK, horizon=SHORT),
    Step("reserve", COMPENSATABLE, _RESERVE, undo=_RELEASE, when=_is_paid, patience=QUICK, horizon=SHORT),
    Step("entry",   COMPENSATABLE, _ENTRY, undo=_CANCEL_ENTRY, when=_is_paid, along=True, patience=QUICK,
         horizon=SHORT),
    Step("submit",  PIVOT,         _SUBMIT, when=_is_paid, along=True, patience=QUICK, horizon=LONG),
    Step("cancel",  RETRIABLE,     Local("cancel"), patience=QUICK, horizon=LONG),
    Step("settle",  RETRIABLE,     _SETTLE, when=_is_paid, ahead=True, patience=PATIENT, horizon=LONG),
), forgets=frozenset({"secret"}))

# The pivot does not go along: what does is undone when nobody answers.
HALVES = Saga("halves", 1, (
    Step("reserve", COMPENSATABLE, _RESERVE, undo=_RELEASE, patience=QUICK, horizon=SHORT),
    Step("entry",   COMPENSATABLE, _ENTRY, undo=_CANCEL_ENTRY, along=True, patience=QUICK, horizon=SHORT),
    Step("submit",  PIVOT,         _SUBMIT, patience=QUICK, horizon=LONG),
    Step("cancel",  RETRIABLE,     Local("cancel"), patience=QUICK, horizon=LONG),
), forgets=frozenset({"secret"}))

CLINIC_CANCELLATION = Saga("clinic_cancellation", 1, (
    Step("request", PIVOT,     Local("request"), patience=QUICK, horizon=LONG),
    Step("cancel",  RETRIABLE, Local("cancel"), patience=QUICK, horizon=LONG),
    Step("reserve", RETRIABLE, _RESERVE, when=_is_paid, patience=QUICK, horizon=LONG),
    Step("entry",   RETRIABLE, _ENTRY, when=_is_paid, along=True, patience=QUICK, horizon=LONG),
    Step("submit",  RETRIABLE, _SUBMIT, when=_is_paid, along=True, patience=QUICK, horizon=LONG),
    Step("settle",  RETRIABLE, _SETTLE, when=_is_paid, ahead=True, patience=PATIENT, horizon=LONG),
), forgets=frozenset({"secret"}))

# Each step's command travels by itself.
NO_SHOW = Saga("no_show", 1, (
    Step("reserve", RETRIABLE, _RESERVE, patience=QUICK, horizon=LONG),
    Step("entry",   RETRIABLE, _ENTRY, patience=QUICK, horizon=LONG),
    Step("submit",  RETRIABLE, _SUBMIT, patience=QUICK, horizon=LONG),
    Step("settle",  RETRIABLE, _SETTLE, patience=PATIENT, horizon=LONG),
), forgets=frozenset({"secret"}))
# fmt: on

SAGAS = (CHECKOUT, CANCELLATION, HALVES, CLINIC_CANCELLATION, NO_SHOW)
BY_TYPE = {saga.type: saga for saga in SAGAS}
LOCAL_STEPS = {"begin", "approve", "confirm", "request", "cancel"}
COMMANDS: Commands = {
    payment.TakePayment: ("pay", FORWARD),
    payment.CancelPayment: ("pay", BACKWARD),
    payment.PostBookingFee: ("fee", FORWARD),
    payment.ReserveRefund: ("reserve", FORWARD),
    payment.ReleaseRefund: ("reserve", BACKWARD),
    payment.PostRefundEntry: ("entry", FORWARD),
    payment.CancelRefundEntry: ("entry", BACKWARD),
    payment.SubmitRefund: ("submit", FORWARD),
    payment.SettleRefundEntry: ("settle", FORWARD),
}
