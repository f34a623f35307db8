"""Bugs planted in the core of sagas, and in how their state and what is asked of others are written."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from libs.common.tests.simulator.mutants import Mutant, outside_the_transaction
from petpro.saga.v1 import saga_pb2
from petpro_common.saga import core, messages, store
from petpro_common.saga.model import Direction, Outcome, Reply, Saga, SagaState, Signal, Status, Step, StepKind, Timeout


def _is_open(state: SagaState) -> bool:
    return state.status in (Status.RUNNING, Status.COMPENSATING)


def _any_direction(right: Any) -> Any:
    def is_awaited(state: SagaState, signal: Signal) -> bool:
        return bool(right(state, signal._replace(direction=state.direction)))

    return is_awaited


def _any_step(right: Any) -> Any:
    def is_awaited(state: SagaState, signal: Signal) -> bool:
        return bool(right(state, signal._replace(step=state.step)))

    return is_awaited


def _any_attempt(_: Any) -> Any:
    def is_awaited(state: SagaState, signal: Signal) -> bool:
        return _is_open(state) and (signal.step, signal.direction) == (state.step, state.direction)

    return is_awaited


def _also_after_the_end(right: Any) -> Any:
    def is_awaited(state: SagaState, signal: Signal) -> bool:
        return bool(right(state._replace(status=Status.RUNNING), signal))

    return is_awaited


def _drop_timeouts(right: Any) -> Any:
    def advance(saga: Saga, state: SagaState, signal: Signal, now: datetime, luck: float) -> core.Transition:
        if isinstance(signal, Timeout):
            return core.Transition(state._replace(due_at=None))
        transition: core.Transition = right(saga, state, signal, now, luck)
        return transition

    return advance


def _skip_one(right: Any) -> Any:
    def undo_next(saga: Saga, state: SagaState, now: datetime, line: Any) -> Any:
        return right(saga, state._replace(to_undo=state.to_undo[:-1]), now, line)

    return undo_next


def _oldest_first(_: Any) -> Any:
    def undo_next(saga: Saga, state: SagaState, now: datetime, line: Any) -> Any:
        if not state.to_undo:
            return core._end(saga, state, Status.COMPENSATED, line)
        turned = state._replace(status=Status.COMPENSATING, to_undo=(*state.to_undo[1:], state.to_undo[0]))
        return core._order(turned, saga.step(state.to_undo[0]), Direction.BACKWARD, now, line)

    return undo_next


def _undo_what_was_refused(right: Any) -> Any:
    def refused(saga: Saga, state: SagaState, step: Any, reply: Reply, now: datetime, line: Any) -> Any:
        undoable = (*state.to_undo, step.name) if step.undo and state.direction is Direction.FORWARD else state.to_undo
        return right(saga, state._replace(to_undo=undoable), step, reply, now, line)

    return refused


def _leave_what_is_unknown(_: Any) -> Any:
    def outcome_unknown(saga: Saga, state: SagaState) -> SagaState:
        return state

    return outcome_unknown


def _forget_what_went_along(_: Any) -> Any:
    def asked(saga: Saga, state: SagaState) -> Any:
        return (saga.step(state.step),)

    return asked


def _only_the_last(right: Any) -> Any:
    def answers(saga: Saga, reply: saga_pb2.Reply) -> Any:
        return right(saga, reply)[-1:]

    return answers


def _compensate_at_the_pivot_too(right: Any) -> Any:
    def timed_out(saga: Saga, state: SagaState, step: Any, now: datetime, luck: float) -> Any:
        if step.kind is StepKind.PIVOT and state.attempt > 3:
            return core._undo_next(saga, core._failed(state, "TIMED_OUT"), now, ())
        return right(saga, state, step, now, luck)

    return timed_out


def _go_on_when_refused(_: Any) -> Any:
    def refused(saga: Saga, state: SagaState, step: Any, reply: Reply, now: datetime, line: Any) -> Any:
        return core._succeeded(saga, state, step, reply, now, line)

    return refused


def _never_skip(right: Any) -> Any:
    def go_on(saga: Saga, state: SagaState, index: int, now: datetime, line: Any) -> Any:
        steps = tuple(replace(step, when=lambda _: True) for step in saga.steps)
        return right(replace(saga, steps=steps), state, index, now, line)

    return go_on


def _pending_is_done(_: Any) -> Any:
    return {**messages._OUTCOMES, saga_pb2.OUTCOME_PENDING: Outcome.SUCCEEDED}


def _keep_secrets(right: Any) -> Any:
    def end(saga: Saga, state: SagaState, status: Status, line: Any) -> Any:
        return right(replace(saga, forgets=frozenset()), state, status, line)

    return end


def _key_by_attempt(right: Any) -> Any:
    def command(saga: Saga, state: SagaState, step: Step, attempt: int) -> Any:
        subject, made = right(saga, state, step, attempt)
        if step.kind is StepKind.PIVOT:
            made.command_id = f"{state.id}:{step.name}#{state.version}"
        return subject, made

    return command


def _forget_what_was_learned(right: Any) -> Any:
    def save(tx: Any, state: SagaState, happenings: Any) -> None:
        right(tx, state._replace(to_undo=()), happenings)

    return save


MUTANTS_OF_SAGAS = (
    Mutant("a reply of the other direction counts", core, "_is_awaited", _any_direction),
    Mutant("a reply to another step counts", core, "_is_awaited", _any_step),
    Mutant("a reply to an attempt never made counts", core, "_is_awaited", _any_attempt),
    Mutant("a saga that has ended goes on", core, "_is_awaited", _also_after_the_end),
    Mutant("a time-out is dropped", core, "advance", _drop_timeouts),
    Mutant("a compensation is skipped", core, "_undo_next", _skip_one),
    Mutant("compensations run oldest first", core, "_undo_next", _oldest_first),
    Mutant("a refused step is compensated", core, "_refused", _undo_what_was_refused),
    Mutant("an unknown step is not compensated", core, "_outcome_unknown", _leave_what_is_unknown),
    Mutant("an unknown pivot is compensated", core, "_timed_out", _compensate_at_the_pivot_too),
    Mutant("a refusal counts as success", core, "_refused", _go_on_when_refused),
    Mutant("a step that is not needed runs", core, "_go_on", _never_skip),
    Mutant("an ended saga keeps its secrets", core, "_end", _keep_secrets),
    Mutant("a pending answer counts as success", messages, "_OUTCOMES", _pending_is_done),
    Mutant("the pivot is asked again under a new key", messages, "_command", _key_by_attempt),
    Mutant("what is to be undone is not stored", store, "save", _forget_what_was_learned),
    Mutant("the state is stored outside the transaction", store, "save", outside_the_transaction),
    Mutant("what went along is neither undone nor asked about", core, "_asked", _forget_what_went_along),
    Mutant("answers that came along are lost", messages, "answers", _only_the_last),
)
