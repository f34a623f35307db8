"""What an operator may do to a saga and when, as tables: given a saga, when somebody asks this, then that."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.empty_pb2 import Empty

from petpro_common.errors import WrongState
from petpro_common.ids import new_id
from petpro_common.saga.core import advance, begin, failure_reason, operate
from petpro_common.saga.model import (
    Direction,
    Local,
    Outcome,
    Remote,
    Reply,
    Saga,
    SagaState,
    Status,
    Step,
    StepKind,
    Timeout,
)
from petpro_common.saga.operations import (
    LocalStepNotSkippable,
    Operation,
    PastPointOfNoReturn,
    PivotNotSkippable,
    ResultIsNeeded,
    SagaHasEnded,
    SagaHasTurnedBack,
    SagaNotParked,
    Verb,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BACKWARD = Direction.BACKWARD
RUNNING, COMPENSATING, PARKED = Status.RUNNING, Status.COMPENSATING, Status.PARKED
RETRY, SKIP, COMPENSATE = Verb.RETRY, Verb.SKIP, Verb.COMPENSATE
COMPLETED, COMPENSATED = Verb.RESOLVE_COMPLETED, Verb.RESOLVE_COMPENSATED


def _asks() -> Remote:
    return Remote("groomer", lambda _: Empty())


def _learns() -> Remote:
    return Remote("groomer", lambda _: Empty(), Empty, lambda _: {"receipt": "R-1"})


BATH = Saga(
    "bath",
    1,
    (
        Step("note", StepKind.COMPENSATABLE, Local("note"), undo=Local("strike_out")),
        Step("tub", StepKind.COMPENSATABLE, _asks(), undo=_asks()),
        Step("deposit", StepKind.COMPENSATABLE, _learns(), undo=_asks()),
        Step("wash", StepKind.PIVOT, _asks()),
        Step("dry", StepKind.RETRIABLE, _asks()),
        Step("close", StepKind.RETRIABLE, Local("close")),
    ),
    forgets=frozenset({"card"}),
)
FRESH = SagaState(new_id(), "bath", 1, "bath:miko", {"card": "tok_1"})


def _at(step: str, status: Status = RUNNING, direction: Direction = Direction.FORWARD) -> SagaState:
    """A saga that stands at a step; what came before is done, and before the pivot still to undo."""
    names = [known.name for known in BATH.steps if known.undo]
    to_undo = tuple(names[: names.index(step) + (direction is BACKWARD)]) if step in names else ()
    if step == "wash":
        to_undo = tuple(names)
    began = NOON - timedelta(days=2)
    return FRESH._replace(
        status=status, step=step, direction=direction, attempt=3, to_undo=to_undo, step_began_at=began, version=7
    )


def _asked(verb: Verb) -> Operation:
    return Operation(verb, "sari", "the groomer called")


@pytest.mark.parametrize(
    ("verb", "state", "status", "step", "direction", "ordered"),
    [
        (RETRY, _at("tub"), RUNNING, "tub", "forward", True),
        (RETRY, _at("tub", COMPENSATING, BACKWARD), COMPENSATING, "tub", "backward", True),
        (RETRY, _at("wash", PARKED), RUNNING, "wash", "forward", True),
        (RETRY, _at("close", PARKED), RUNNING, "close", "forward", True),
        (RETRY, _at("tub", PARKED, BACKWARD), COMPENSATING, "tub", "backward", True),
        (SKIP, _at("tub"), RUNNING, "deposit", "forward", True),
        (SKIP, _at("dry", PARKED), RUNNING, "close", "forward", True),
        (SKIP, _at("deposit", COMPENSATING, BACKWARD), COMPENSATING, "tub", "backward", True),
        (SKIP, _at("deposit", PARKED, BACKWARD), COMPENSATING, "tub", "backward", True),
        (COMPENSATE, _at("note"), COMPENSATING, "note", "backward", True),
        (COMPENSATE, _at("deposit"), COMPENSATING, "deposit", "backward", True),
        (COMPENSATE, _at("tub", PARKED), COMPENSATING, "tub", "backward", True),
        (COMPLETED, _at("dry", PARKED), Status.COMPLETED, "dry", "forward", False),
        (COMPLETED, _at("wash", PARKED), Status.COMPLETED, "wash", "forward", False),
        (COMPENSATED, _at("wash", PARKED), Status.COMPENSATED, "wash", "forward", False),
        (COMPENSATED, _at("tub", PARKED, BACKWARD), Status.COMPENSATED, "tub", "backward", False),
    ],
)
def test_what_is_allowed(
    verb: Verb, state: SagaState, status: Status, step: str, direction: str, ordered: bool
) -> None:
    after = operate(BATH, state, _asked(verb), NOON)
    assert (after.state.status, after.state.step, after.state.direction) == (status, step, direction)
    assert (after.order is not None) is ordered
    assert after.state.version == state.version + 1
    assert (after.timeline[0].kind, after.timeline[0].step) == ("operator", state.step)
    assert after.timeline[0].detail == f"{verb} by sari: the groomer called"
    assert (after.state.due_at is not None) is ordered


@pytest.mark.parametrize(
    ("verb", "state", "refusal"),
    [
        *((verb, _at("dry", ended), SagaHasEnded) for verb in Verb for ended in (Status.COMPLETED, Status.COMPENSATED)),
        (SKIP, _at("wash"), PivotNotSkippable),
        (SKIP, _at("wash", PARKED), PivotNotSkippable),
        (SKIP, _at("note"), LocalStepNotSkippable),
        (SKIP, _at("close", PARKED), LocalStepNotSkippable),
        (SKIP, _at("note", PARKED, BACKWARD), LocalStepNotSkippable),
        (SKIP, _at("deposit"), ResultIsNeeded),
        (COMPENSATE, _at("wash"), PastPointOfNoReturn),
        (COMPENSATE, _at("wash", PARKED), PastPointOfNoReturn),
        (COMPENSATE, _at("dry", PARKED), PastPointOfNoReturn),
        (COMPENSATE, _at("tub", COMPENSATING, BACKWARD), SagaHasTurnedBack),
        (COMPENSATE, _at("tub", PARKED, BACKWARD), SagaHasTurnedBack),
        (COMPLETED, _at("dry"), SagaNotParked),
        (COMPENSATED, _at("tub", COMPENSATING, BACKWARD), SagaNotParked),
        (COMPLETED, _at("tub", PARKED, BACKWARD), SagaHasTurnedBack),
        (COMPENSATED, _at("dry", PARKED), PastPointOfNoReturn),
    ],
)
def test_what_is_refused(verb: Verb, state: SagaState, refusal: type[WrongState]) -> None:
    with pytest.raises(refusal):
        operate(BATH, state, _asked(verb), NOON)


def test_a_parked_saga_that_is_retried_has_its_whole_horizon_again() -> None:
    woken = operate(BATH, _at("dry", PARKED), _asked(RETRY), NOON).state
    later = advance(BATH, woken, Timeout("dry", woken.direction, woken.attempt), NOON + timedelta(minutes=1), 0.5)
    assert later.state.status is RUNNING
    assert later.order is not None


def test_a_saga_that_was_not_parked_keeps_its_horizon_when_it_is_retried() -> None:
    state = _at("dry")
    assert operate(BATH, state, _asked(RETRY), NOON).state.step_began_at == state.step_began_at


def test_the_late_answer_to_an_attempt_before_a_retry_still_counts() -> None:
    woken = operate(BATH, _at("dry", PARKED), _asked(RETRY), NOON).state
    answered = advance(BATH, woken, Reply("dry", woken.direction, 3, Outcome.SUCCEEDED), NOON, 0.5)
    assert answered.state.step == "close"


def test_a_skipped_step_is_undone_like_one_that_was_done() -> None:
    skipped = operate(BATH, _at("tub"), _asked(SKIP), NOON).state
    refused = advance(BATH, skipped, Reply("deposit", skipped.direction, 1, Outcome.REFUSED, "NO_MONEY"), NOON, 0.5)
    assert (refused.state.step, refused.state.direction) == ("tub", BACKWARD)


def test_the_answer_to_a_skipped_step_is_ignored() -> None:
    skipped = operate(BATH, _at("tub"), _asked(SKIP), NOON).state
    late = advance(BATH, skipped, Reply("tub", skipped.direction, 3, Outcome.REFUSED, "FULL"), NOON, 0.5)
    assert late.state == skipped


def test_turned_back_it_undoes_also_the_step_whose_outcome_nobody_knows() -> None:
    turned = operate(BATH, _at("deposit"), _asked(COMPENSATE), NOON)
    assert turned.state.to_undo == ("note", "tub", "deposit")
    assert failure_reason(turned.state.data) == "STOPPED_BY_OPERATOR"


def test_an_end_by_a_persons_word_forgets_what_every_end_forgets() -> None:
    assert operate(BATH, _at("dry", PARKED), _asked(COMPLETED), NOON).state.data == {}


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("step", [step.name for step in BATH.steps if step.undo])
def test_every_act_has_an_answer_and_none_turns_a_saga_forward_again(
    verb: Verb, status: Status, direction: Direction, step: str
) -> None:
    state = _at(step, status, direction)
    try:
        after = operate(BATH, state, _asked(verb), NOON).state
    except WrongState:
        return
    assert not state.has_ended
    assert not (direction is BACKWARD and (after.direction is Direction.FORWARD or after.status is Status.COMPLETED))


def test_a_fresh_saga_can_be_turned_back_to_where_nothing_was_done() -> None:
    begun = begin(BATH, FRESH, NOON).state
    turned = operate(BATH, begun, _asked(COMPENSATE), NOON).state
    ended = advance(BATH, turned, Reply("note", BACKWARD, 1, Outcome.SUCCEEDED), NOON, 0.5).state
    assert ended.status is Status.COMPENSATED
