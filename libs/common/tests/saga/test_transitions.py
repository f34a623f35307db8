"""The transition table: every place a saga can stand, every signal it can hear, and what must come of it.

The table is written by hand, from the rules at the top of the package and not from the code. Whatever it does not name
must change nothing.
"""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple
from uuid import UUID

import pytest

from petpro_common.saga.core import Transition, advance, failure_reason
from petpro_common.saga.model import (
    Direction,
    Happening,
    Local,
    Outcome,
    Reply,
    Saga,
    SagaState,
    Signal,
    Status,
    Step,
    StepKind,
    Timeout,
)

pytestmark = pytest.mark.unit

COMPENSATABLE, PIVOT, RETRIABLE = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE
FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
RUNNING, COMPENSATING, PARKED = Status.RUNNING, Status.COMPENSATING, Status.PARKED
COMPLETED, COMPENSATED = Status.COMPLETED, Status.COMPENSATED
BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
HORIZON = timedelta(hours=24)

# fmt: off
VISIT = Saga("cancel_visit", 1, (
    Step("request", COMPENSATABLE, Local("request"), undo=Local("lift")),
    Step("look_up", COMPENSATABLE, Local("look_up")),
    Step("reserve", COMPENSATABLE, Local("reserve"), undo=Local("release")),
    Step("refund",  PIVOT,         Local("refund")),
    Step("cancel",  RETRIABLE,     Local("cancel")),
    Step("settle",  RETRIABLE,     Local("settle")),
), forgets=frozenset({"card"}))
# fmt: on


def _at(step: str, direction: Direction, *to_undo: str, status: Status | None = None) -> SagaState:
    """A saga that waits for the answer to the second attempt of a step."""
    return SagaState(
        id=UUID(int=1),
        saga_type=VISIT.type,
        definition_version=VISIT.version,
        business_key="cancel:rex",
        data={"card": "tok_1"},
        status=status or (RUNNING if direction is FORWARD else COMPENSATING),
        step=step,
        direction=direction,
        attempt=2,
        to_undo=to_undo,
        step_began_at=BEGAN,
        due_at=BEGAN + timedelta(seconds=20),
        version=7,
    )


AWAITING = {
    "request": _at("request", FORWARD),
    "look_up": _at("look_up", FORWARD, "request"),
    "reserve": _at("reserve", FORWARD, "request"),
    "refund": _at("refund", FORWARD, "request", "reserve"),
    "cancel": _at("cancel", FORWARD),
    "settle": _at("settle", FORWARD),
    "undo reserve": _at("reserve", BACKWARD, "request", "reserve"),
    "undo request": _at("request", BACKWARD, "request"),
}
AT_REST = {
    "parked at the pivot": _at("refund", FORWARD, "request", "reserve", status=PARKED),
    "parked after it": _at("settle", FORWARD, status=PARKED),
    "parked on the way back": _at("reserve", BACKWARD, "request", "reserve", status=PARKED),
    "completed": _at("settle", FORWARD, status=COMPLETED),
    "compensated": _at("request", BACKWARD, status=COMPENSATED),
    "refused at once": _at("request", FORWARD, status=COMPENSATED),
}

# Which attempts are heard, of two that were made: a definite answer to any of them, the rest to the last alone.
COUNTS = {"succeeded": (1, 2), "refused": (1, 2), "pending": (2,), "timed out": (2,), "ran out": (2,)}


class After(NamedTuple):
    """What comes of a signal. An order is given if, and only if, the timeline says `sent`: that of step and attempt."""

    status: Status
    step: str
    direction: Direction
    attempt: int
    to_undo: tuple[str, ...]
    timeline: str
    reason: str = ""


# fmt: off
ONE, BOTH = ("request",), ("request", "reserve")
TABLE = {
    ("request", "succeeded"):      After(RUNNING,      "look_up", FORWARD,  1, ONE,  "succeeded sent"),
    ("request", "refused"):        After(COMPENSATED,  "request", FORWARD,  2, (),   "refused ended", "NO"),
    ("request", "pending"):        After(RUNNING,      "request", FORWARD,  2, (),   "pending"),
    ("request", "timed out"):      After(RUNNING,      "request", FORWARD,  3, (),   "timed_out sent"),
    ("request", "ran out"):        After(COMPENSATING, "request", BACKWARD, 1, ONE,  "timed_out sent", "TIMED_OUT"),
    # Nothing to undo: refused or unknown, what was done before it is undone.
    ("look_up", "succeeded"):      After(RUNNING,      "reserve", FORWARD,  1, ONE,  "succeeded sent"),
    ("look_up", "refused"):        After(COMPENSATING, "request", BACKWARD, 1, ONE,  "refused sent", "NO"),
    ("look_up", "pending"):        After(RUNNING,      "look_up", FORWARD,  2, ONE,  "pending"),
    ("look_up", "timed out"):      After(RUNNING,      "look_up", FORWARD,  3, ONE,  "timed_out sent"),
    ("look_up", "ran out"):        After(COMPENSATING, "request", BACKWARD, 1, ONE,  "timed_out sent", "TIMED_OUT"),
    # Refused it changed nothing; unknown it is the first to be undone.
    ("reserve", "succeeded"):      After(RUNNING,      "refund",  FORWARD,  1, BOTH, "succeeded sent"),
    ("reserve", "refused"):        After(COMPENSATING, "request", BACKWARD, 1, ONE,  "refused sent", "NO"),
    ("reserve", "pending"):        After(RUNNING,      "reserve", FORWARD,  2, ONE,  "pending"),
    ("reserve", "timed out"):      After(RUNNING,      "reserve", FORWARD,  3, ONE,  "timed_out sent"),
    ("reserve", "ran out"):        After(COMPENSATING, "reserve", BACKWARD, 1, BOTH, "timed_out sent", "TIMED_OUT"),
    # The pivot: refused it turns back, done nothing is undone any more, unknown it is neither.
    ("refund", "succeeded"):       After(RUNNING,      "cancel",  FORWARD,  1, (),   "succeeded sent"),
    ("refund", "refused"):         After(COMPENSATING, "reserve", BACKWARD, 1, BOTH, "refused sent", "NO"),
    ("refund", "pending"):         After(RUNNING,      "refund",  FORWARD,  2, BOTH, "pending"),
    ("refund", "timed out"):       After(RUNNING,      "refund",  FORWARD,  3, BOTH, "timed_out sent"),
    ("refund", "ran out"):         After(PARKED,       "refund",  FORWARD,  2, BOTH, "timed_out parked"),
    ("cancel", "succeeded"):       After(RUNNING,      "settle",  FORWARD,  1, (),   "succeeded sent"),
    ("cancel", "refused"):         After(PARKED,       "cancel",  FORWARD,  2, (),   "refused parked"),
    ("cancel", "pending"):         After(RUNNING,      "cancel",  FORWARD,  2, (),   "pending"),
    ("cancel", "timed out"):       After(RUNNING,      "cancel",  FORWARD,  3, (),   "timed_out sent"),
    ("cancel", "ran out"):         After(PARKED,       "cancel",  FORWARD,  2, (),   "timed_out parked"),
    ("settle", "succeeded"):       After(COMPLETED,    "settle",  FORWARD,  2, (),   "succeeded ended"),
    ("settle", "refused"):         After(PARKED,       "settle",  FORWARD,  2, (),   "refused parked"),
    ("settle", "pending"):         After(RUNNING,      "settle",  FORWARD,  2, (),   "pending"),
    ("settle", "timed out"):       After(RUNNING,      "settle",  FORWARD,  3, (),   "timed_out sent"),
    ("settle", "ran out"):         After(PARKED,       "settle",  FORWARD,  2, (),   "timed_out parked"),
    # On the way back: in reverse order, and never forward again.
    ("undo reserve", "succeeded"): After(COMPENSATING, "request", BACKWARD, 1, ONE,  "succeeded sent"),
    ("undo reserve", "refused"):   After(PARKED,       "reserve", BACKWARD, 2, BOTH, "refused parked"),
    ("undo reserve", "pending"):   After(COMPENSATING, "reserve", BACKWARD, 2, BOTH, "pending"),
    ("undo reserve", "timed out"): After(COMPENSATING, "reserve", BACKWARD, 3, BOTH, "timed_out sent"),
    ("undo reserve", "ran out"):   After(PARKED,       "reserve", BACKWARD, 2, BOTH, "timed_out parked"),
    ("undo request", "succeeded"): After(COMPENSATED,  "request", BACKWARD, 2, (),   "succeeded ended"),
    ("undo request", "refused"):   After(PARKED,       "request", BACKWARD, 2, ONE,  "refused parked"),
    ("undo request", "pending"):   After(COMPENSATING, "request", BACKWARD, 2, ONE,  "pending"),
    ("undo request", "timed out"): After(COMPENSATING, "request", BACKWARD, 3, ONE,  "timed_out sent"),
    ("undo request", "ran out"):   After(PARKED,       "request", BACKWARD, 2, ONE,  "timed_out parked"),
}
# fmt: on


def _signal(kind: str, step: str, direction: Direction, attempt: int) -> Signal:
    if kind in ("timed out", "ran out"):
        return Timeout(step, direction, attempt)
    return Reply(step, direction, attempt, Outcome(kind), "NO" if kind == "refused" else "")


def _hear(state: SagaState, kind: str, signal: Signal) -> Transition:
    now = BEGAN + (HORIZON if kind == "ran out" else HORIZON - timedelta(seconds=1))
    return advance(VISIT, state, signal, now, luck=0.5)


def _all_signals() -> list[tuple[str, Signal]]:
    steps = [*(step.name for step in VISIT.steps), "no_such_step"]
    every = product(COUNTS, steps, Direction, (-1, 0, 1, 2, 3))
    return [(kind, _signal(kind, step, direction, attempt)) for kind, step, direction, attempt in every]


def _counts(state: SagaState, kind: str, signal: Signal) -> bool:
    is_about_it = (signal.step, signal.direction) == (state.step, state.direction)
    return is_about_it and signal.attempt in COUNTS[kind]


def _ignored(state: SagaState, signal: Signal) -> Transition:
    return Transition(state, None, (Happening("ignored", signal.step, signal.direction, signal.attempt),))


def test_the_table_names_every_kind_of_step_both_ways_and_all_that_can_be_heard() -> None:
    assert set(TABLE) == set(product(AWAITING, COUNTS))
    stands = {(VISIT.step(state.step).kind, state.direction) for state in AWAITING.values()}
    assert stands == {*product(StepKind, [FORWARD]), (COMPENSATABLE, BACKWARD)}
    assert {state.status for state in (*AWAITING.values(), *AT_REST.values())} == set(Status)


@pytest.mark.parametrize("place", AWAITING)
def test_what_is_awaited_does_what_the_table_says_and_all_else_changes_nothing(place: str) -> None:
    state, heard = AWAITING[place], set()
    for kind, signal in _all_signals():
        if _counts(state, kind, signal):
            heard.add(kind)
            _assert_follows(TABLE[place, kind], _hear(state, kind, signal), signal)
        else:
            assert _hear(state, kind, signal) == _ignored(state, signal)
    assert heard == set(COUNTS)


def _assert_follows(after: After, transition: Transition, signal: Signal) -> None:
    state, order, timeline = transition.state, transition.order, transition.timeline
    reached = After(
        state.status,
        state.step,
        state.direction,
        state.attempt,
        state.to_undo,
        " ".join(line.kind for line in timeline),
        failure_reason(state.data),
    )
    assert reached == after, signal
    assert state.version == 8
    assert ("card" in state.data) != state.has_ended
    assert (state.due_at is None) == (after.status in (PARKED, COMPLETED, COMPENSATED))
    if "sent" not in after.timeline:
        assert order is None
    else:
        step = VISIT.step(after.step)
        assert order is not None
        assert (order.step, order.direction, order.attempt) == (step, after.direction, after.attempt)
        assert order.action is (step.do if after.direction is FORWARD else step.undo)


@pytest.mark.parametrize("place", AT_REST)
def test_a_saga_that_is_parked_or_has_ended_hears_nothing(place: str) -> None:
    for kind, signal in _all_signals():
        assert _hear(AT_REST[place], kind, signal) == _ignored(AT_REST[place], signal)


@pytest.mark.parametrize(("place", "kind"), TABLE)
def test_the_same_signal_again_gives_no_second_order(place: str, kind: str) -> None:
    state = AWAITING[place]
    signal = _signal(kind, state.step, state.direction, 2)
    once = _hear(state, kind, signal).state
    again = _hear(once, kind, signal)
    assert again.order is None
    assert kind == "pending" or again == _ignored(once, signal)
