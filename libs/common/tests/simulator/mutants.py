"""Planted bugs, as data: each replaces one function of the code under test by one that is wrong in one way."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from libs.common.tests.simulator.database import Transaction
from petpro.saga.v1 import saga_pb2
from petpro_common.messaging import inbox, memory, outbox, participant, replies
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.participant import Answer
from petpro_common.messaging.relay import Relay
from petpro_common.saga import core, messages, store
from petpro_common.saga.model import Direction, Outcome, Reply, Saga, SagaState, Signal, Status, Step, StepKind, Timeout


@dataclass(frozen=True)
class Mutant:
    """`wrong` is given what the right function was, and makes what stands in its place."""

    name: str
    place: Any
    function: str
    wrong: Callable[[Any], Any]

    def planted(self) -> AbstractContextManager[Any]:
        return mock.patch.object(self.place, self.function, self.wrong(getattr(self.place, self.function)))


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


def _all_go_ahead(_: Any) -> Any:
    def goes_on(received: Any) -> bool:
        has_been_refused = bool(received.replies) and received.replies[-1].outcome == saga_pb2.OUTCOME_REFUSED
        return bool(received.left) and not has_been_refused

    return property(goes_on)


def _forget_what_went_along(_: Any) -> Any:
    def asked(saga: Saga, state: SagaState) -> Any:
        return (saga.step(state.step),)

    return asked


def _only_the_last(right: Any) -> Any:
    def answers(saga: Saga, reply: saga_pb2.Reply) -> Any:
        return right(saga, reply)[-1:]

    return answers


def _whatever_came_of_those_before(_: Any) -> Any:
    return property(lambda received: bool(received.left))


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


def _outside_the_transaction(right: Any) -> Any:
    async def write(tx: Transaction, *args: Any) -> Any:
        other = Transaction(tx.tables)
        done = await right(other, *args)
        await other.flush()
        return done

    return write


def _stored_outside_the_transaction(right: Any) -> Any:
    def store(tx: Transaction, *args: Any) -> None:
        other = Transaction(tx.tables)
        right(other, *args)
        for write, rows in other._late.items():
            other.write(write.statement, write.columns(rows))

    return store


def _always_new(_: Any) -> Any:
    async def unknown(tx: Transaction, command_ids: Iterable[str]) -> set[str]:
        return set(command_ids)

    return unknown


def _not_written(_: Any) -> Any:
    return lambda *_args: None


def _dropped(_: Any) -> Any:
    async def nothing(*args: Any) -> int:
        return 0

    return nothing


def _answer_again(_: Any) -> Any:
    async def answer_all(tx: Any, given: list[tuple[str, Answer, Any]]) -> None:
        stored = await replies.find(tx, [command_id for command_id, _, _ in given])
        for command_id, decided, _ in given:
            if (row := stored.get(command_id)) and row.command:
                command = saga_pb2.Command.FromString(bytes(row.command))
                reply = participant._reply_to(command, decided)
                replies.store(tx, replies.REWRITE, command, reply)
                await replies.send(tx, command.reply_to, [reply])

    return answer_all


def _succeeded_without_asking(_: Any) -> Any:
    def again(stored: Any, command: saga_pb2.Command) -> saga_pb2.Reply:
        return participant._reply_to(command, participant.Succeeded())

    return again


def _mark_first(right: Any) -> Any:
    async def publish(self: Any, rows: Iterable[Any]) -> list[Any]:
        rows = list(rows)
        await right(self, rows)
        return [(row.id, "PETPRO_EVENTS", 0) for row in rows]

    return publish


def _see_no_new_stream(right: Any) -> Any:
    async def look(broker: Any, stream: str) -> Any:
        return replace(await right(broker, stream), created=datetime(2026, 1, 1, tzinfo=UTC))

    return look


def _see_no_holes(right: Any) -> Any:
    async def look(broker: Any, stream: str) -> Any:
        return replace(await right(broker, stream), holes=0)

    return look


def _think_it_has_everything(_: Any) -> Any:
    async def has(broker: Any, stream: str, seq: int, message_id: str) -> bool:
        return True

    return has


def _trust_a_connection_that_was_cut(right: Any) -> Any:
    async def mark(self: Any, session: Any) -> None:
        checked, self._connection = self._connection, self._broker.reconnects
        await right(self, session)
        self._connection = checked

    return mark


def _ack_first(right: Any) -> Any:
    async def together(self: Any, messages: Any) -> Any:
        for message in messages.values():
            await message.ack()
        return await right(self, messages)

    return together


def _forget_what_was_learned(right: Any) -> Any:
    async def save(tx: Any, state: SagaState, happenings: Any) -> None:
        await right(tx, state._replace(to_undo=()), happenings)

    return save


MUTANTS = (
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
    Mutant("the state is stored outside the transaction", store, "save", _outside_the_transaction),
    Mutant("a reply is stored outside the transaction", replies, "store", _stored_outside_the_transaction),
    Mutant("a copy of a command is handled again", inbox, "unknown", _always_new),
    Mutant("the outbox is written outside the transaction", outbox, "add", _outside_the_transaction),
    Mutant("a definite answer changes later", participant, "_answer_all", _answer_again),
    Mutant("a pending step is never answered", participant, "answer", _not_written),
    Mutant("a copy of a command is not given the stored reply", replies, "again", _succeeded_without_asking),
    Mutant(
        "a command is carried out behind one that failed",
        participant._Received,
        "goes_on",
        _whatever_came_of_those_before,
    ),
    Mutant(
        "a command that does not go ahead is carried out behind a pending one",
        participant._Received,
        "goes_on",
        _all_go_ahead,
    ),
    Mutant("what went along is neither undone nor asked about", core, "_asked", _forget_what_went_along),
    Mutant("answers that came along are lost", messages, "answers", _only_the_last),
    Mutant("the relay marks what it has not published", Relay, "_publish_lane", _mark_first),
    Mutant("the relay trusts what a broker took that went", Relay, "_mark", _trust_a_connection_that_was_cut),
    Mutant("the relay never marks", Relay, "_mark", _dropped),
    Mutant("the relay does not notice that the broker forgot", memory, "_unmark", _dropped),
    Mutant("a stream made anew passes for the old one", memory, "look", _see_no_new_stream),
    Mutant("a hole in a stream is overlooked", memory, "look", _see_no_holes),
    Mutant("a lost beginning passes for age", memory, "_went_too_early", _dropped),
    Mutant("our newest message is never looked for", memory, "has", _think_it_has_everything),
    Mutant("a message is acknowledged before its commit", Consumer, "_together", _ack_first),
)
