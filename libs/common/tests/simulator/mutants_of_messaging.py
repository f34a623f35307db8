"""Bugs planted in outbox, relay, consumer and participant."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from libs.common.tests.simulator.database import Transaction
from libs.common.tests.simulator.mutants import Mutant, outside_the_transaction
from petpro.saga.v1 import saga_pb2
from petpro_common.messaging import data_loss, inbox, outbox, participant, replies
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.lanes import Lanes
from petpro_common.messaging.participant import Answer
from petpro_common.messaging.relay import Relay


def _all_go_ahead(_: Any) -> Any:
    def goes_on(received: Any) -> bool:
        has_been_refused = bool(received.replies) and received.replies[-1].outcome == saga_pb2.OUTCOME_REFUSED
        return bool(received.left) and not has_been_refused

    return property(goes_on)


def _whatever_came_of_those_before(_: Any) -> Any:
    return property(lambda received: bool(received.left))


def _always_new(_: Any) -> Any:
    async def unknown(tx: Transaction, command_ids: Iterable[str], message_ids: Iterable[str] = ()) -> set[str]:
        return {*command_ids, *message_ids}

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
                replies.send(tx, command.reply_to, [reply])

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


MUTANTS_OF_MESSAGING = (
    Mutant("a reply is stored outside the transaction", replies, "store", outside_the_transaction),
    Mutant("a copy of a command is handled again", inbox, "unknown", _always_new),
    Mutant("the outbox is written outside the transaction", outbox, "add", outside_the_transaction),
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
    Mutant("the relay marks what it has not published", Lanes, "_publish_lane", _mark_first),
    Mutant("the relay trusts what a broker took that went", Relay, "_mark", _trust_a_connection_that_was_cut),
    Mutant("the relay never marks", Relay, "_mark", _dropped),
    Mutant("the relay does not notice that the broker forgot", data_loss, "_unmark", _dropped),
    Mutant("a stream made anew passes for the old one", data_loss, "look", _see_no_new_stream),
    Mutant("a hole in a stream is overlooked", data_loss, "look", _see_no_holes),
    Mutant("a lost beginning passes for age", data_loss, "_went_too_early", _dropped),
    Mutant("our newest message is never looked for", data_loss, "has", _think_it_has_everything),
    Mutant("a message is acknowledged before its commit", Consumer, "_together", _ack_first),
)
