"""The transitions of a saga, as a pure function. The invariants stand at the top of the package."""

from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import NamedTuple

from petpro_common.saga.model import (
    Data,
    Direction,
    Happening,
    Local,
    Order,
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

_LONGEST_PATIENCE = timedelta(minutes=1)
FAILURE_REASON = "failure_reason"
STOPPED_BY_OPERATOR = "STOPPED_BY_OPERATOR"
TIMED_OUT = "TIMED_OUT"


class Transition(NamedTuple):
    """The state after a signal, at most one order to carry out, and what to write into the timeline."""

    state: SagaState
    order: Order | None = None
    timeline: tuple[Happening, ...] = ()


def begin(saga: Saga, state: SagaState, now: datetime) -> Transition:
    """The first transition of a fresh saga."""
    return _go_on(saga, state, 0, now, (Happening("started"),))


def advance(saga: Saga, state: SagaState, signal: Signal, now: datetime, luck: float) -> Transition:
    """What `signal` makes of `state`. `luck`, from 0 to 1, is the jitter of a retry.

    A signal that is not awaited (another step or direction, an attempt never made, a saga that has ended) changes
    nothing but the timeline.
    """
    if not _is_awaited(state, signal):
        return Transition(state, None, (_line("ignored", signal),))
    step = saga.step(state.step)
    if isinstance(signal, Timeout):
        return _timed_out(saga, state, step, now, luck)
    line = (_line(signal.outcome.value, signal, signal.reason),)
    if signal.outcome is Outcome.PENDING:
        due_at = max(state.due_at or now, now + step.patience)  # a wait that has grown stays as long
        return Transition(state._replace(due_at=due_at, version=state.version + 1), None, line)
    if signal.outcome is Outcome.SUCCEEDED:
        return _succeeded(saga, state, step, signal, now, line)
    return _refused(saga, state, step, signal, now, line)


def operate(saga: Saga, state: SagaState, operation: Operation, now: datetime) -> Transition:
    """What an operator's act makes of `state`. Raises a WrongState of `operations` where it is not allowed."""
    if state.has_ended:
        raise SagaHasEnded(status=state.status)
    step = saga.step(state.step)
    line = (_line("operator", state, f"{operation.verb} by {operation.operator}: {operation.reason}"),)
    if operation.verb is Verb.RETRY:
        return _ask(_woken(state, now), step, now, line, luck=1.0)
    if operation.verb is Verb.SKIP:
        return _skip(saga, state, step, now, line)
    if operation.verb is Verb.COMPENSATE:
        return _turn_back(saga, state, step, now, line)
    return _resolve(saga, state, step, operation.verb, line)


def aboard(saga: Saga, state: SagaState) -> tuple[Step, ...]:
    """The steps whose commands, or compensations, travel with the one that `state` awaits, in their order."""
    if state.direction is Direction.FORWARD:
        return saga.carried_by(saga.step(state.step), state.data)
    latest_first = [saga.step(name) for name in reversed(state.to_undo)]
    return tuple(step for _, step in takewhile(_is_undone_along, pairwise(latest_first)))


def _is_undone_along(pair: tuple[Step, Step]) -> bool:
    later, earlier = (step.undo for step in pair)
    return (
        pair[0].along and isinstance(later, Remote) and isinstance(earlier, Remote) and later.service == earlier.service
    )


def _woken(state: SagaState, now: datetime) -> SagaState:
    """A parked saga is on its way again, with a fresh horizon; any other stays as it is."""
    if state.status is not Status.PARKED:
        return state
    status = Status.RUNNING if state.direction is Direction.FORWARD else Status.COMPENSATING
    return state._replace(status=status, step_began_at=now)


def _skip(saga: Saga, state: SagaState, step: Step, now: datetime, line: tuple[Happening, ...]) -> Transition:
    action = step.do if state.direction is Direction.FORWARD else step.undo
    if step.kind is StepKind.PIVOT:
        raise PivotNotSkippable(step=step.name)
    if isinstance(action, Local):
        raise LocalStepNotSkippable(step=step.name)
    if action and action.result and state.direction is Direction.FORWARD:
        raise ResultIsNeeded(step=step.name)
    done = Reply(step.name, state.direction, state.attempt, Outcome.SUCCEEDED)
    return _succeeded(saga, _woken(state, now), step, done, now, line)


def _turn_back(saga: Saga, state: SagaState, step: Step, now: datetime, line: tuple[Happening, ...]) -> Transition:
    if state.direction is Direction.BACKWARD:
        raise SagaHasTurnedBack(step=step.name)
    if final := _final(saga, state):
        raise PastPointOfNoReturn(step=final.name)
    return _undo_next(saga, _failed(_outcome_unknown(saga, state), STOPPED_BY_OPERATOR), now, line)


def _resolve(saga: Saga, state: SagaState, step: Step, verb: Verb, line: tuple[Happening, ...]) -> Transition:
    if state.status is not Status.PARKED:
        raise SagaNotParked(status=state.status)
    forward = state.direction is Direction.FORWARD
    if verb is Verb.RESOLVE_COMPLETED:
        if not forward:
            raise SagaHasTurnedBack(step=step.name)
        return _end(saga, state, Status.COMPLETED, line)
    if forward and step.kind is StepKind.RETRIABLE:
        raise PastPointOfNoReturn(step=step.name)
    return _end(saga, state, Status.COMPENSATED, line)


def _asked(saga: Saga, state: SagaState) -> tuple[Step, ...]:
    """The steps that may have been done by now: the one that is awaited, and those that went along."""
    return (saga.step(state.step), *aboard(saga, state))


def _final(saga: Saga, state: SagaState) -> Step | None:
    """Of the steps that may have been done, the first that cannot be compensated."""
    return next((step for step in _asked(saga, state) if step.kind is not StepKind.COMPENSATABLE), None)


def _outcome_unknown(saga: Saga, state: SagaState) -> SagaState:
    """What may have been done is undone like what was."""
    return state._replace(to_undo=(*state.to_undo, *(step.name for step in _asked(saga, state) if step.undo)))


def _is_awaited(state: SagaState, signal: Signal) -> bool:
    if state.status not in (Status.RUNNING, Status.COMPENSATING):
        return False
    if (signal.step, signal.direction) != (state.step, state.direction):
        return False
    if isinstance(signal, Timeout) or signal.outcome is Outcome.PENDING:
        return signal.attempt == state.attempt
    return 1 <= signal.attempt <= state.attempt


def _succeeded(
    saga: Saga, state: SagaState, step: Step, reply: Reply, now: datetime, line: tuple[Happening, ...]
) -> Transition:
    if state.direction is Direction.BACKWARD:
        return _undo_next(saga, state._replace(to_undo=state.to_undo[:-1]), now, line)
    undoable = (*state.to_undo, step.name) if step.undo else state.to_undo
    passed = step.kind is not StepKind.COMPENSATABLE
    learned = state._replace(data={**state.data, **reply.learned}, to_undo=() if passed else undoable)
    return _go_on(saga, learned, saga.index(step.name) + 1, now, line)


def _refused(
    saga: Saga, state: SagaState, step: Step, reply: Reply, now: datetime, line: tuple[Happening, ...]
) -> Transition:
    if state.direction is Direction.BACKWARD or step.kind is StepKind.RETRIABLE:
        return _park(state, line, f"{step.name} may not be refused: {reply.reason}")
    return _undo_next(saga, _failed(state, reply.reason), now, line)


def _timed_out(saga: Saga, state: SagaState, step: Step, now: datetime, luck: float) -> Transition:
    line = (Happening("timed_out", step.name, state.direction, state.attempt),)
    if state.step_began_at is None or now - state.step_began_at < step.horizon:
        return _ask(state, step, now, line, luck)
    if state.direction is Direction.FORWARD and _final(saga, state) is None:
        return _undo_next(saga, _failed(_outcome_unknown(saga, state), TIMED_OUT), now, line)
    return _park(state, line, f"no answer to {step.name} in {step.horizon}")


def _failed(state: SagaState, reason: str) -> SagaState:
    return state._replace(data={**state.data, FAILURE_REASON: reason})


def _go_on(saga: Saga, state: SagaState, index: int, now: datetime, line: tuple[Happening, ...]) -> Transition:
    """Runs the next step that is needed, or ends."""
    for step in saga.steps[index:]:
        if step.when(state.data):
            return _order(state, step, Direction.FORWARD, now, line)
        line = (*line, Happening("skipped", step.name))
    return _end(saga, state, Status.COMPLETED, line)


def _undo_next(saga: Saga, state: SagaState, now: datetime, line: tuple[Happening, ...]) -> Transition:
    """Compensates the latest step that is not compensated yet, or ends."""
    if not state.to_undo:
        return _end(saga, state, Status.COMPENSATED, line)
    compensating = state._replace(status=Status.COMPENSATING)
    return _order(compensating, saga.step(state.to_undo[-1]), Direction.BACKWARD, now, line)


def _order(
    state: SagaState, step: Step, direction: Direction, now: datetime, line: tuple[Happening, ...]
) -> Transition:
    fresh = state._replace(step=step.name, direction=direction, attempt=0, step_began_at=now)
    return _ask(fresh, step, now, line, luck=1.0)


def _ask(state: SagaState, step: Step, now: datetime, line: tuple[Happening, ...], luck: float) -> Transition:
    """Gives the order once more.

    An attempt has the step's patience to be answered. Before the next comes full jitter: anything from nothing to what
    doubling allows, so that many sagas which wait for the same participant do not all ask at once when it is back.
    """
    attempt, patience = state.attempt + 1, step.patience
    if attempt > 1:
        ceiling = min(patience * 2 ** min(state.attempt, 10), max(_LONGEST_PATIENCE, patience))
        patience += (ceiling - patience) * luck
    asked = state._replace(attempt=attempt, due_at=now + patience, version=state.version + 1)
    action = step.do if state.direction is Direction.FORWARD else step.undo
    if action is None:
        raise ValueError(f"{step.name} has no compensation")
    sent = Happening("sent", step.name, state.direction, attempt)
    return Transition(asked, Order(step, state.direction, attempt, action), (*line, sent))


def _end(saga: Saga, state: SagaState, status: Status, line: tuple[Happening, ...]) -> Transition:
    data = {name: value for name, value in state.data.items() if name not in saga.forgets}
    ended = state._replace(data=data, status=status, due_at=None, version=state.version + 1)
    return Transition(ended, None, (*line, Happening("ended", detail=status.value)))


def _park(state: SagaState, line: tuple[Happening, ...], why: str) -> Transition:
    parked = state._replace(status=Status.PARKED, due_at=None, version=state.version + 1)
    return Transition(parked, None, (*line, Happening("parked", state.step, state.direction, state.attempt, why)))


def _line(kind: str, about: Signal | SagaState, detail: str = "") -> Happening:
    return Happening(kind, about.step, about.direction, about.attempt, detail)


def failure_reason(data: Data) -> str:
    """Why the saga turned back, for example CARD_DECLINED; empty while it has not."""
    return str(data.get(FAILURE_REASON, ""))
