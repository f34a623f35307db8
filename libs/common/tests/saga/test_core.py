"""The transitions of a saga, read as dialogues: given a saga, when it hears this, then it does that."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.empty_pb2 import Empty

from petpro_common.ids import new_id
from petpro_common.saga.core import Transition, aboard, advance, begin, failure_reason, operate
from petpro_common.saga.model import (
    Direction,
    Local,
    Outcome,
    Remote,
    Reply,
    Saga,
    SagaState,
    Signal,
    Status,
    Step,
    StepKind,
    Timeout,
)
from petpro_common.saga.operations import Operation, PastPointOfNoReturn, Verb

pytestmark = pytest.mark.unit

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

CANCEL_VISIT = Saga(
    "cancel_visit",
    1,
    (
        Step("request", StepKind.COMPENSATABLE, Local("request"), undo=Local("lift")),
        Step("look_up", StepKind.COMPENSATABLE, Local("look_up")),
        Step("reserve", StepKind.COMPENSATABLE, Local("reserve"), undo=Local("release"), when=lambda d: d["paid"]),
        Step("refund", StepKind.PIVOT, Local("refund"), when=lambda d: d["paid"]),
        Step("cancel", StepKind.RETRIABLE, Local("cancel")),
        Step("settle", StepKind.RETRIABLE, Local("settle"), when=lambda d: d["paid"], patience=timedelta(minutes=10)),
    ),
)


class Dialogue:
    """One saga, spoken to step by step."""

    def __init__(self, paid: bool = True, saga: Saga = CANCEL_VISIT) -> None:
        self.saga = saga
        self.now = NOON
        self.orders: list[tuple[str, str]] = []
        self.heard(begin(saga, SagaState(new_id(), saga.type, 1, "cancel:rex", {"paid": paid}), NOON))

    def heard(self, transition: Transition) -> "Dialogue":
        self.state = transition.state
        self.last = transition
        if transition.order:
            self.orders.append((transition.order.step.name, transition.order.direction.value))
        return self

    @property
    def pause(self) -> timedelta:
        """Until the saga is looked at again."""
        assert self.state.due_at is not None
        return self.state.due_at - self.now

    def tell(self, signal: Signal, luck: float = 0.5) -> "Dialogue":
        return self.heard(advance(self.saga, self.state, signal, self.now, luck))

    def answer(self, outcome: Outcome, reason: str = "", **learned: object) -> "Dialogue":
        state = self.state
        return self.tell(Reply(state.step, state.direction, state.attempt, outcome, reason, learned))

    def succeed(self, times: int = 1) -> "Dialogue":
        for _ in range(times):
            self.answer(Outcome.SUCCEEDED)
        return self

    def time_out(self, after: timedelta = timedelta(0), luck: float = 0.5) -> "Dialogue":
        self.now += after
        return self.tell(Timeout(self.state.step, self.state.direction, self.state.attempt), luck)


def test_all_steps_succeed_in_order_and_the_saga_is_completed() -> None:
    talk = Dialogue().succeed(6)
    assert [name for name, _ in talk.orders] == ["request", "look_up", "reserve", "refund", "cancel", "settle"]
    assert talk.state.status is Status.COMPLETED
    assert talk.state.due_at is None


def test_steps_that_are_not_needed_are_skipped() -> None:
    talk = Dialogue(paid=False).succeed(3)
    assert [name for name, _ in talk.orders] == ["request", "look_up", "cancel"]
    assert talk.state.status is Status.COMPLETED


def test_a_refused_pivot_is_undone_in_reverse_order_without_itself_and_without_steps_that_need_no_undoing() -> None:
    talk = Dialogue().succeed(3).answer(Outcome.REFUSED, "REFUND_REFUSED")
    assert talk.state.to_undo == ("request", "reserve")
    talk.succeed(2)
    assert talk.orders[4:] == [("reserve", "backward"), ("request", "backward")]
    assert talk.state.status is Status.COMPENSATED
    assert failure_reason(talk.state.data) == "REFUND_REFUSED"


def test_the_first_step_refused_leaves_nothing_to_undo() -> None:
    talk = Dialogue().answer(Outcome.REFUSED, "NO")
    assert talk.state.status is Status.COMPENSATED
    assert talk.orders == [("request", "forward")]


def test_what_a_step_learns_is_there_for_the_next() -> None:
    talk = Dialogue().answer(Outcome.SUCCEEDED, amount="75000.00")
    assert talk.state.data == {"paid": True, "amount": "75000.00"}


@pytest.mark.parametrize("luck", [0.0, 0.25, 0.5, 0.999])
def test_a_silent_step_is_asked_again_after_its_patience_and_full_jitter(luck: float) -> None:
    """Full jitter: from zero to min(cap, base * 2 ** retries), at random. It comes on top of the time of an attempt."""
    talk = Dialogue().succeed(2)
    pauses = []
    for _ in range(60):  # an hour of silence: doubled so often, it were longer than a timedelta can be
        pauses.append(talk.pause)
        talk.time_out(after=talk.pause, luck=luck)
    ceilings = [min(5 * 2**retries, 60) - 5 for retries in range(60)]
    assert ceilings[:6] == [0, 5, 15, 35, 55, 55]
    assert pauses == [timedelta(seconds=5) + timedelta(seconds=ceiling) * luck for ceiling in ceilings]
    assert set(talk.orders[2:]) == {("reserve", "forward")}
    assert talk.state.attempt == 61


@pytest.mark.parametrize("luck", [0.0, 0.999])
def test_a_patience_above_a_minute_never_grows(luck: float) -> None:
    talk = Dialogue().succeed(5)
    for _ in range(12):
        assert talk.pause == timedelta(minutes=10)
        talk.time_out(after=talk.pause, luck=luck)


def test_a_compensatable_step_that_stays_silent_is_itself_compensated_because_its_outcome_is_unknown() -> None:
    talk = Dialogue().succeed(2).time_out(after=timedelta(hours=25))
    assert talk.orders[-1] == ("reserve", "backward")
    talk.succeed(2)
    assert talk.state.status is Status.COMPENSATED
    assert failure_reason(talk.state.data) == "TIMED_OUT"


@pytest.mark.parametrize("steps_done", [3, 4, 5])
def test_a_pivot_or_later_step_that_stays_silent_is_parked_and_never_compensated(steps_done: int) -> None:
    talk = Dialogue().succeed(steps_done)
    for _ in range(5):
        talk.time_out(after=timedelta(minutes=1))
    assert talk.last.order is not None
    talk.time_out(after=timedelta(days=31))
    assert talk.state.status is Status.PARKED
    assert all(direction == "forward" for _, direction in talk.orders)


def test_a_compensation_that_stays_silent_is_parked() -> None:
    talk = Dialogue().succeed(3).answer(Outcome.REFUSED).time_out(after=timedelta(hours=25))
    assert talk.state.status is Status.PARKED


def test_a_refused_retriable_step_is_parked() -> None:
    talk = Dialogue().succeed(4)
    before = talk.state.version
    talk.answer(Outcome.REFUSED, "NO")
    assert (talk.state.status, talk.state.version) == (Status.PARKED, before + 1)
    assert "may not be refused" in talk.last.timeline[-1].detail


def test_a_refused_compensation_is_parked() -> None:
    talk = Dialogue().succeed(3).answer(Outcome.REFUSED).answer(Outcome.REFUSED)
    assert talk.state.status is Status.PARKED


def test_a_pending_step_is_asked_again_as_seldom_as_a_silent_one() -> None:
    talk = Dialogue().succeed(3)
    pauses = []
    for _ in range(8):
        talk.answer(Outcome.PENDING)
        pauses.append(talk.pause)
        talk.time_out(after=talk.pause)
    assert pauses == sorted(pauses)
    assert pauses[-1] > timedelta(seconds=30)


def test_a_pending_step_waits_and_its_definite_answer_to_an_earlier_attempt_counts() -> None:
    talk = Dialogue().succeed(3).answer(Outcome.PENDING)
    assert talk.last.order is None
    talk.time_out(after=timedelta(seconds=5))
    assert talk.state.attempt == 2
    talk.tell(Reply("refund", FORWARD, 1, Outcome.SUCCEEDED))
    assert talk.state.step == "cancel"


def test_after_the_pivot_nothing_is_left_to_undo() -> None:
    assert Dialogue().succeed(4).state.to_undo == ()


def test_the_same_reply_twice_counts_once() -> None:
    talk = Dialogue()
    reply = Reply("request", FORWARD, 1, Outcome.SUCCEEDED)
    once = talk.tell(reply).state
    assert talk.tell(reply).state == once


ASK, TAKE_BACK = Remote("payment", lambda _: Empty()), Remote("payment", lambda _: Empty())


def _together(pivot_goes_along: bool) -> Dialogue:
    """At the first of three steps of payment, of which the second goes along, and the pivot or not."""
    steps = (
        Step("reserve", StepKind.COMPENSATABLE, ASK, undo=TAKE_BACK),
        Step("enter", StepKind.COMPENSATABLE, ASK, undo=TAKE_BACK, along=True),
        Step("send", StepKind.PIVOT, ASK, along=pivot_goes_along),
    )
    return Dialogue(saga=Saga("refund", 1, steps))


def test_silence_undoes_what_went_along_as_well() -> None:
    together = _together(pivot_goes_along=False)
    assert [step.name for step in aboard(together.saga, together.state)] == ["enter"]
    together.time_out(timedelta(hours=24))
    assert (together.state.status, together.state.to_undo) == (Status.COMPENSATING, ("reserve", "enter"))
    assert [step.name for step in aboard(together.saga, together.state)] == ["reserve"]
    together.succeed(2)
    assert together.orders[1:] == [("enter", "backward"), ("reserve", "backward")]
    assert together.state.status is Status.COMPENSATED


def test_silence_is_parked_when_the_pivot_went_along_and_no_operator_can_turn_back() -> None:
    together = _together(pivot_goes_along=True)
    stop = Operation(Verb.COMPENSATE, "sari", "the dog is back")
    with pytest.raises(PastPointOfNoReturn):
        operate(together.saga, together.state, stop, together.now)
    together.time_out(timedelta(hours=24))
    assert together.state.status is Status.PARKED
