"""Random sagas on random walks: whatever is heard, in whatever order, every place that is reached is a legal one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from google.protobuf.empty_pb2 import Empty
from hypothesis import given, settings
from hypothesis import strategies as st

from petpro_common.errors import WrongState
from petpro_common.ids import new_id
from petpro_common.saga.core import Transition, aboard, advance, begin, operate
from petpro_common.saga.model import (
    Action,
    Data,
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
from petpro_common.saga.operations import Operation, Verb

pytestmark = pytest.mark.unit

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
AWAITING = {Status.RUNNING: FORWARD, Status.COMPENSATING: BACKWARD}
TURNED_BACK = (Status.COMPENSATING, Status.COMPENSATED)
TIMED_OUT, RAN_OUT, LATE, THE_OTHER_WAY, NEVER_ASKED = "timed out", "ran out", "late", "the other way", "never asked"
WORDS = [
    *[Outcome.SUCCEEDED] * 4,
    *Outcome,
    TIMED_OUT,
    RAN_OUT,
    LATE,
    THE_OTHER_WAY,
    NEVER_ASKED,
    Verb.RETRY,
    Verb.COMPENSATE,
]


ASK, TAKE_BACK = Remote("payment", lambda _: Empty()), Remote("payment", lambda _: Empty())
ACTIONS: list[tuple[Action, Action]] = [(Local("do"), Local("undo")), (ASK, TAKE_BACK)]


@st.composite
def _steps(draw: st.DrawFn, kind: StepKind, most: int) -> list[Step]:
    steps = []
    for number in range(draw(st.integers(0, most))):
        do, undo = draw(st.sampled_from(ACTIONS))
        is_undone = kind is StepKind.COMPENSATABLE and draw(st.booleans())
        when = _needed if draw(st.booleans()) else _not_needed
        steps.append(Step(f"{kind}_{number}", kind, do, undo if is_undone else None, when))
    return steps


def _needed(_: Data) -> bool:
    return True


def _not_needed(_: Data) -> bool:
    return False


@st.composite
def _sagas(draw: st.DrawFn) -> Saga:
    """Any mix of steps in a legal order, and one more, so that there is a step."""
    before, pivot = draw(_steps(StepKind.COMPENSATABLE, 3)), draw(_steps(StepKind.PIVOT, 1))
    after = draw(_steps(StepKind.RETRIABLE, 2))
    steps = [*before, *pivot, *after, Step("last", StepKind.RETRIABLE, Local("do"))]
    for number, (carrier, step) in enumerate(pairwise(steps), 1):
        if carrier.do is ASK and step.do is ASK:
            steps[number] = replace(step, along=draw(st.booleans()))
    for number, step in enumerate(steps):
        latest = next((each for each in reversed(steps[:number]) if each.do is ASK), None)
        may_go_ahead = step.kind is StepKind.RETRIABLE and step.do is ASK and not step.along
        if may_go_ahead and latest and latest.kind is not StepKind.COMPENSATABLE:
            steps[number] = replace(step, ahead=draw(st.booleans()))
    return Saga("walk", 1, tuple(steps))


class Walk:
    """One saga, what it has heard, and what its participants have done, or may have."""

    def __init__(self, saga: Saga) -> None:
        self.saga = saga
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.heard: list[Signal] = []
        self.maybe_done: list[str] = []
        self.undone: list[str] = []
        self.is_past_return = False
        self.state = SagaState(new_id(), "walk", 1, "walk:rex", {})
        self.follow(begin(saga, self.state, self.now))

    def hear(self, word: str | int) -> None:
        """A word means something where the saga stands; a number is a signal that was heard before."""
        if isinstance(word, int):
            for signal in self.heard[word : word + 1]:
                self.signal(signal)
        elif word in (Verb.RETRY, Verb.COMPENSATE):
            self.act(Verb(word))
        else:
            self.now += timedelta(hours=25) if word == RAN_OUT else timedelta(seconds=1)
            self.signal(_meaning(word, self.state))

    def signal(self, signal: Signal) -> None:
        before = self.state
        self.heard.append(signal)
        self.follow(advance(self.saga, before, signal, self.now, luck=0.5))
        is_about_it = (signal.step, signal.direction) == (before.step, before.direction)
        assert self.state == before or (is_about_it and signal.attempt <= before.attempt)

    def act(self, verb: Verb) -> None:
        try:
            after = operate(self.saga, self.state, Operation(verb, "sari", "the dog is back"), self.now)
        except WrongState:
            return
        self.follow(after)

    def follow(self, after: Transition) -> None:
        before, self.state = self.state, after.state
        said = after.timeline[0].kind
        if said == "succeeded":
            (self.maybe_done if before.direction is FORWARD else self.undone).append(before.step)
            self.is_past_return |= self.saga.step(before.step).kind is not StepKind.COMPENSATABLE
        elif said != "refused" and before.status is Status.RUNNING and after.state.status in TURNED_BACK:
            unknown = [self.saga.step(before.step), *aboard(self.saga, before)]
            self.maybe_done += [step.name for step in unknown]
            assert all(step.kind is StepKind.COMPENSATABLE for step in unknown), "an unknown pivot is asked about"
        assert before.direction is FORWARD or after.state.direction is BACKWARD, "it never turns forward again"
        assert after.state == before or after.state.version == before.version + 1
        assert after.order is None or after.state.status in AWAITING
        self.assert_legal()

    def assert_legal(self) -> None:
        state, undoable = self.state, [name for name in self.maybe_done if self.saga.step(name).undo]
        assert (state.due_at is not None) == (state.status in AWAITING), "who awaits an answer is looked at again"
        assert state.status not in AWAITING or AWAITING[state.status] is state.direction
        assert not (self.is_past_return and state.direction is BACKWARD), "what was final is not undone"
        assert self.undone == undoable[::-1][: len(self.undone)], "in reverse order, each once"
        if state.direction is BACKWARD and not state.has_ended:
            assert state.to_undo == tuple(undoable[: len(undoable) - len(self.undone)])
            assert state.step == state.to_undo[-1]
        if state.status is Status.COMPENSATED:
            assert self.undone == undoable[::-1], "all that may have been done is undone"
        if state.status is Status.COMPLETED:
            assert self.maybe_done == [step.name for step in self.saga.steps if step.when({})], "all that was needed"
            assert self.undone == []


def _meaning(word: str, state: SagaState) -> Signal:
    other_way = BACKWARD if state.direction is FORWARD else FORWARD
    meanings: dict[str, Signal] = {
        TIMED_OUT: Timeout(state.step, state.direction, state.attempt),
        RAN_OUT: Timeout(state.step, state.direction, state.attempt),
        LATE: Reply(state.step, state.direction, 1, Outcome.SUCCEEDED),
        THE_OTHER_WAY: Reply(state.step, other_way, state.attempt, Outcome.SUCCEEDED),
        NEVER_ASKED: Reply(state.step, state.direction, state.attempt + 1, Outcome.SUCCEEDED),
    }
    return meanings.get(word) or Reply(state.step, state.direction, state.attempt, Outcome(word))


@settings(max_examples=200)
@given(_sagas(), st.lists(st.sampled_from([str(word) for word in WORDS]) | st.integers(0, 2), max_size=25))
def test_every_walk_stays_legal_and_can_still_be_ended(saga: Saga, words: list[str | int]) -> None:
    walk = Walk(saga)
    for word in words:
        walk.hear(word)
    for _ in range(2 * len(saga.steps)):
        walk.act(Verb.RETRY)
        walk.hear("succeeded")
    assert walk.state.has_ended
