"""Which histories are told of a saga: those of its own steps, refused, silent, slow, stopped and skipped one by one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta

from google.protobuf.message import Message

from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.errors import WrongState
from petpro_common.saga.model import Direction, Outcome, Remote, Saga, Status, Step, StepKind
from petpro_common.saga.operations import PastPointOfNoReturn, Verb
from services.booking.tests.golden.histories import BEGINS, Json, Recording

COMPENSATABLE, RETRIABLE = StepKind.COMPENSATABLE, StepKind.RETRIABLE
_SECOND = timedelta(seconds=1)

_BOOKED: Json = {
    "booking_id": "019aafd2-0000-7000-8000-000000000001",
    "payment_id": "019aafd2-0000-7000-8000-000000000002",
    "entry_id": "019aafd2-0000-7000-8000-000000000003",
    "user_id": "019aafd2-0000-7000-8000-000000000004",
    "clinic_id": "019aafd2-0000-7000-8000-000000000005",
    "currency": "IDR",
}
_CHECKOUT: Json = {
    **_BOOKED,
    "reservation_id": "019aafd2-0000-7000-8000-000000000006",
    "amount": "150000.00",
    "commission_rate": "10.00",
    "requires_approval": True,
    "pay_until": "2026-11-23T12:10:00+00:00",
    "payment_method": "card",
    "payment_token": "tok_1",
    "notes": "Miko is shy",
}
_CANCELLATION: Json = {
    **_BOOKED,
    "refund_id": "019aafd2-0000-7000-8000-000000000007",
    "refund_amount": "75000.00",
    "gives_money_back": True,
    "must_succeed": False,
    "reason": "Miko is well again",
    "by": "customer",
}
_BY_CLINIC: Json = {**_CANCELLATION, "refund_amount": "150000.00", "must_succeed": True, "by": "clinic"}
_NO_SHOW: Json = {
    **_BOOKED,
    "refund_id": "019aafd2-0000-7000-8000-000000000007",
    "refund_amount": "60000.00",
    "must_succeed": True,
    "reason": "no-show",
}

# By type, what sagas begin with. With the first, every step is needed.
DATA: Mapping[str, Mapping[str, Json]] = {
    "checkout": {"with_approval": _CHECKOUT, "without_approval": {**_CHECKOUT, "requires_approval": False}},
    "cancellation": {
        "with_refund": _CANCELLATION,
        "without_refund": {**_CANCELLATION, "refund_amount": "0.00", "gives_money_back": False},
    },
    "clinic_cancellation": {
        "with_refund": _BY_CLINIC,
        "without_refund": {**_BY_CLINIC, "refund_amount": "0.00", "gives_money_back": False},
    },
    "no_show": {"with_refund": _NO_SHOW},
}
# What steps answer, beyond that they are done.
RESULTS: Mapping[type[Message], Json] = {
    payment.PaymentTaken: {"external_reference": "ch_1", "paid_at": "2026-11-23T12:01:00Z"},
    payment.RefundSubmitted: {"refund_status": "pending"},
}
LEARNED: Mapping[str, Json] = {"await_approval": {"pay_until": "2026-11-23T13:10:00+00:00"}}


def histories_of(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """Every history of a saga, by name."""
    for name, data in DATA[saga.type].items():
        yield f"completed_{name}", _ended(_begun(saga, data))
    for script in (_turned_back, _stopped, _slow, _in_trouble, _skipped, _resolved):
        yield from script(saga)


def _begun(saga: Saga, data: Json | None = None) -> Recording:
    recording = Recording(saga, data or next(iter(DATA[saga.type].values())))
    recording.hear(BEGINS)
    return recording


def _turned_back(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """Each step that may be refused is, and each of them stays silent for good."""
    for step in saga.steps:
        if step.kind is not RETRIABLE:
            yield f"refused_{step.name}", _ended(_refused(_reached(saga, step)))
            yield f"unknown_{step.name}", _ended(_silent(_reached(saga, step)))


def _stopped(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """An operator turns back at each step where that is allowed."""
    for step in _of_kind(saga, COMPENSATABLE):
        with suppress(PastPointOfNoReturn):
            yield f"stopped_{step.name}", _ended(_operated(_reached(saga, step), Verb.COMPENSATE))


def _slow(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """Every step first pends, is asked twice, and its answer to the first attempt comes twice."""
    yield "slow", _ended(_begun(saga), by=_late)
    if back := _on_the_way_back(saga):
        yield "slow_way_back", _ended(back, by=_late)


def _in_trouble(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """Whatever may not be refused is, and stays silent; an operator has each asked again."""
    if after := _of_kind(saga, RETRIABLE):
        yield "retriable_in_trouble", _ended(_reached(saga, after[0]), by=_troubled)
    if back := _on_the_way_back(saga):
        yield "way_back_in_trouble", _ended(back, by=_troubled)


def _skipped(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """An operator skips every step that may be."""
    yield "skipped", _ended(_begun(saga), by=_skipped_or_done)
    if back := _on_the_way_back(saga):
        yield "skipped_way_back", _ended(back, by=_skipped_or_done)


def _resolved(saga: Saga) -> Iterator[tuple[str, Recording]]:
    """An operator ends what is parked, by a word."""
    if after := _of_kind(saga, RETRIABLE):
        yield "resolved_completed", _operated(_refused(_reached(saga, after[-1])), Verb.RESOLVE_COMPLETED)
    if back := _on_the_way_back(saga):
        yield "resolved_compensated", _operated(_refused(back), Verb.RESOLVE_COMPENSATED)


def _of_kind(saga: Saga, kind: StepKind) -> list[Step]:
    return [step for step in saga.steps if step.kind is kind]


def _on_the_way_back(saga: Saga) -> Recording | None:
    """A saga of which as much as possible is to be undone."""
    refusable = [step for step in saga.steps if step.kind is not RETRIABLE]
    recording = _refused(_reached(saga, refusable[-1])) if refusable else _begun(saga)
    return recording if recording.state.status is Status.COMPENSATING else None


def _reached(saga: Saga, step: Step) -> Recording:
    recording = _begun(saga)
    while recording.state.step != step.name:
        _done(recording)
    return recording


def _ended(recording: Recording, by: Callable[[Recording], object] | None = None) -> Recording:
    """Has every step from here done as `by` does it, until the saga ends; an operator wakes what is parked."""
    while not recording.state.has_ended:
        if recording.state.status is Status.PARKED:
            _operated(recording, Verb.RETRY)
        (by or _done)(recording)
    return recording


def _asked(recording: Recording, signal: str, attempt: int | None = None) -> Json:
    state = recording.state
    asked = {"step": state.step, "direction": state.direction.value, "attempt": attempt or state.attempt}
    return {"signal": signal, **asked}


def _success(recording: Recording, attempt: int | None = None) -> Json:
    signal = _asked(recording, Outcome.SUCCEEDED.value, attempt)
    action = recording.saga.step(recording.state.step).do
    if recording.state.direction is Direction.BACKWARD:
        return signal
    if isinstance(action, Remote):
        return {**signal, "result": RESULTS[action.result]} if action.result else signal
    return {**signal, "learned": LEARNED[action.handler]} if action.handler in LEARNED else signal


def _done(recording: Recording) -> Recording:
    recording.hear(_success(recording))
    return recording


def _refused(recording: Recording) -> Recording:
    recording.hear({**_asked(recording, Outcome.REFUSED.value), "reason": f"NO_{recording.state.step.upper()}"})
    return recording


def _silent(recording: Recording) -> Recording:
    """Asked again after its patience, and a second before its horizon runs out; then no more."""
    step = recording.saga.step(recording.state.step)
    for after in (step.patience, step.horizon - step.patience - _SECOND, _SECOND):
        recording.hear({**_asked(recording, "timed_out"), "after_seconds": after.total_seconds()})
    return recording


def _late(recording: Recording) -> None:
    patience = recording.saga.step(recording.state.step).patience
    recording.hear(_asked(recording, Outcome.PENDING.value))
    recording.hear({**_asked(recording, "timed_out"), "after_seconds": patience.total_seconds()})
    late = _success(recording, attempt=1)
    recording.hear(late)
    recording.hear(late)


def _troubled(recording: Recording) -> None:
    for trouble in (_refused, _silent):
        _operated(trouble(recording), Verb.RETRY)
    _done(recording)


def _skipped_or_done(recording: Recording) -> None:
    try:
        _operated(recording, Verb.SKIP)
    except WrongState:
        _done(recording)


def _operated(recording: Recording, verb: Verb) -> Recording:
    recording.hear({"signal": "operator", "verb": verb.value})
    return recording
