"""A saga's participant: handles commands once and answers each copy with the same reply.

A handler runs in the transaction that claims the command, and returns what it decided:

    Succeeded(payload)   done, with a typed result
    Refused(reason)      nothing was changed, for good
    Pending()            taken on; `answer` gives the definite outcome later, with the transaction that knows it

With the reply, of the command is stored only whom to answer: what it says may be secret. A copy of the
command gets the stored reply again, so a lost reply costs nothing but time, and a definite answer never changes. That
a command is pending is told to its copies alone: mostly the definite answer is there before anybody asks again.

Commands that come in one message are carried out in one transaction, one after the other as far as each has succeeded,
and are answered by one reply.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from sqlalchemy import text

from petpro.saga.v1 import saga_pb2
from petpro_common import telemetry
from petpro_common.db import Database, LateWrite, Row, Transaction
from petpro_common.messaging import inbox, outbox
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, Unprocessable, in_hand
from petpro_common.messaging.subjects import COMMANDS, command_subject


@dataclass(frozen=True)
class Succeeded:
    """Done; the effects commit with this answer. A local step gives `learned`, plain JSON, instead of a payload."""

    payload: Message | None = None
    learned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """Refused for good; nothing was changed. `reason` is documented in the service's error_reason.proto."""

    reason: str


@dataclass(frozen=True)
class Pending:
    """Taken on; the definite answer follows."""


Answer: TypeAlias = Succeeded | Refused | Pending
CommandHandler = Callable[[Transaction, str, Any], Awaitable[Answer]]
"""Is given the transaction, the command id (for `answer`) and the typed message."""


@dataclass(frozen=True)
class Together:
    """A handler of all commands of one type that are at hand: an answer for each (command id, typed message), in order.

    One that raises has each handled by itself.
    """

    handle: Callable[[Transaction, Sequence[tuple[str, Any]]], Awaitable[Sequence[Answer]]]


Handler: TypeAlias = CommandHandler | Together
_Kind: TypeAlias = tuple[type[Message], Handler, str]


@dataclass(frozen=True)
class _Order:
    """A command that was read, and the subject of such commands. Of `command` is left whom to answer."""

    command: saga_pb2.Command
    handler: Handler
    subject: str
    payload: Message

    @property
    def id(self) -> str:
        return self.command.command_id


@dataclass(frozen=True)
class _Received:
    """A message: its commands in their order, and the replies to those that were carried out."""

    message: Msg
    orders: Sequence[_Order]
    replies: list[saga_pb2.Reply] = field(default_factory=list)

    @property
    def left(self) -> Sequence[_Order]:
        """The commands that were not carried out."""
        return self.orders[len(self.replies) :]

    @property
    def goes_on(self) -> bool:
        """Whether the next command is to be carried out: there is one, and all before it have succeeded."""
        has_failed = bool(self.replies) and self.replies[-1].outcome != saga_pb2.OUTCOME_SUCCEEDED
        return bool(self.left) and not has_failed


_GIVEN = """
    unnest(CAST(:command_ids AS text[]), CAST(:commands AS bytea[]), CAST(:replies AS bytea[]))
         AS given(command_id, command, reply)
"""
# What a transaction has carried out, at once. A copy that somebody stored meanwhile has it fail.
_STORE = text(f"INSERT INTO inbox (message_id, command, reply) SELECT command_id, command, reply FROM {_GIVEN}")  # noqa: S608
# The definite answers of a transaction, at once.
_CHANGE = text(f"""
    UPDATE inbox SET command = given.command, reply = given.reply
    FROM {_GIVEN}
    WHERE message_id = given.command_id AND message_id = ANY(CAST(:command_ids AS text[]))
""")  # noqa: S608
# In the order of `inbox.unknown`.
_LOCKED = text("""
    SELECT message_id, command, reply FROM inbox WHERE message_id = ANY(:command_ids) ORDER BY message_id FOR UPDATE
""")
_traces: ContextVar[Mapping[str, str | None]] = ContextVar("petpro_traces_of_commands", default=MappingProxyType({}))
_OUTCOMES = {
    Succeeded: saga_pb2.OUTCOME_SUCCEEDED,
    Refused: saga_pb2.OUTCOME_REFUSED,
    Pending: saga_pb2.OUTCOME_PENDING,
}


def command_consumer(database: Database, broker: Broker, handlers: Mapping[type[Message], Handler]) -> Consumer:
    """A consumer of this service's commands: one handler per message type."""
    by_type = {
        kind.DESCRIPTOR.full_name: (kind, handler, command_subject(broker.service, kind()))
        for kind, handler in handlers.items()
    }

    async def handle(messages: Sequence[Msg]) -> None:
        received = [_read(message, by_type) for message in messages]
        traces = [(each.orders, (each.message.headers or {}).get("traceparent")) for each in received]
        _traces.set({order.id: trace for orders, trace in traces for order in orders})
        async with database.transaction() as tx:
            new = await inbox.unknown(tx, (order.id for each in received for order in each.orders))
            while due := [each for each in received if each.goes_on]:
                await _carry_out(tx, due, new)

    subjects = [f"petpro.commands.{broker.service}.>"]
    return Consumer(database, broker, COMMANDS, subjects, handle, lambda m: saga_of(m.data))


def trace_of(command_id: str) -> str | None:
    """The trace (`traceparent`) that a command in hand came with, also of one that is handled with others."""
    return _traces.get().get(command_id)


async def _carry_out(tx: Transaction, received: Sequence[_Received], new: set[str]) -> None:
    """Has the next command of each message carried out, or finds its stored reply."""
    decided = await _decide_together(tx, [each.left[0] for each in received if each.left[0].id in new])
    for each in received:
        order, is_new = each.left[0], each.left[0].id in new
        with _in_hand(each, order, decided.get(order.id)):
            if is_new and not isinstance(order.handler, Together):
                decided[order.id] = await order.handler(tx, order.id, order.payload)
            reply = _reply_to(order.command, decided[order.id]) if is_new else await _again(tx, order.command)
            each.replies.append(reply)
            if not each.goes_on:
                reply.before.extend(each.replies[:-1])
            if is_new:
                _store(tx, _WRITE, order.command, reply)
            if not each.goes_on and not (is_new and reply.outcome == saga_pb2.OUTCOME_PENDING):
                await _send(tx, order.command.reply_to, reply)


def _in_hand(each: _Received, order: _Order, decided: Answer | None) -> AbstractContextManager[None]:
    """Makes a command the call in hand, unless it is decided, nobody is told, and its trace is not recorded."""
    tells_nobody = isinstance(decided, Pending) or (isinstance(decided, Succeeded) and len(each.left) > 1)
    if tells_nobody and not telemetry.is_recorded(each.message.headers or {}):
        return nullcontext()
    booking_id = getattr(order.payload, "booking_id", "")
    return in_hand(each.message, subject=order.subject, saga_id=order.command.saga_id, booking_id=booking_id)


async def _decide_together(tx: Transaction, orders: Sequence[_Order]) -> dict[str, Answer]:
    """The answers of those handlers that take all commands of their type at once."""
    groups: dict[Together, list[tuple[str, Message]]] = {}
    for order in orders:
        if isinstance(order.handler, Together):
            groups.setdefault(order.handler, []).append((order.id, order.payload))
    decided: dict[str, Answer] = {}
    for handler, given in groups.items():
        answers = await handler.handle(tx, given)
        decided |= {command_id: answer for (command_id, _), answer in zip(given, answers, strict=True)}
    return decided


def _read(message: Msg, by_type: Mapping[str, _Kind]) -> _Received:
    try:
        command = saga_pb2.Command.FromString(message.data)
        orders = [_order(each, by_type) for each in (command, *command.next)]
        command.ClearField("next")
        return _Received(message, orders)
    except (DecodeError, KeyError) as fault:
        raise Unprocessable("not a command of this service") from fault


def _order(command: saga_pb2.Command, by_type: Mapping[str, _Kind]) -> _Order:
    kind, handler, subject = by_type[command.payload.TypeName()]
    payload = kind.FromString(command.payload.value)
    command.ClearField("payload")
    return _Order(command, handler, subject, payload)


def saga_of(data: bytes) -> str:
    """The saga that a command belongs to: its commands are handled in order."""
    try:
        return saga_pb2.Command.FromString(data).saga_id
    except DecodeError:
        return ""


def answer(tx: Transaction, command_id: str, decided: Succeeded | Refused) -> None:
    """Gives the definite answer to a pending command, with the commit.

    A second one, or one to an unknown command, changes nothing.
    """
    tx.at_end(_answer_all, (command_id, decided, telemetry.trace_headers()))


async def _answer_all(tx: Transaction, given: list[tuple[str, Succeeded | Refused, Mapping[str, str]]]) -> None:
    """Gives all answers of a transaction, of several to one command the first."""
    stored = await _stored(tx, {command_id for command_id, _, _ in given})
    for command_id, decided, trace in given:
        row = stored.pop(command_id, None)
        pending = saga_pb2.Reply.FromString(bytes(row.reply)) if row and row.command is not None else None
        if row is None or pending is None or pending.outcome != saga_pb2.OUTCOME_PENDING:
            continue
        command = saga_pb2.Command.FromString(bytes(row.command))
        reply = _reply_to(command, decided)
        reply.before.extend(pending.before)
        _store(tx, _REWRITE, command, reply)
        with telemetry.within_trace(trace):
            await _send(tx, command.reply_to, reply)


def _reply_to(command: saga_pb2.Command, decided: Answer) -> saga_pb2.Reply:
    reply = saga_pb2.Reply(
        command_id=command.command_id,
        saga_id=command.saga_id,
        saga_type=command.saga_type,
        step=command.step,
        direction=command.direction,
        attempt=command.attempt,
        outcome=_OUTCOMES[type(decided)],
        reason=decided.reason if isinstance(decided, Refused) else "",
    )
    if isinstance(decided, Succeeded) and decided.payload is not None:
        reply.payload.Pack(decided.payload)
    return reply


def _store(tx: Transaction, write: LateWrite, command: saga_pb2.Command, reply: saga_pb2.Reply) -> None:
    tx.write_late(write, (command.command_id, command.SerializeToString(), reply.SerializeToString()))


async def _again(tx: Transaction, command: saga_pb2.Command) -> saga_pb2.Reply:
    """The reply to a command that was carried out before, as one to this attempt."""
    stored = await _stored(tx, [command.command_id])
    reply = saga_pb2.Reply.FromString(bytes(stored[command.command_id].reply))
    reply.ClearField("before")
    reply.attempt = command.attempt
    return reply


async def _stored(tx: Transaction, command_ids: Iterable[str]) -> dict[str, Row]:
    """What is stored of commands that were carried out before, by their ids, locked."""
    return {row.message_id: row for row in await tx.execute(_LOCKED, {"command_ids": list(command_ids)})}


def _columns(rows: list[tuple[str, bytes, bytes]]) -> Mapping[str, Any]:
    command_ids, commands, replies = (list(column) for column in zip(*rows, strict=True))
    return {"command_ids": command_ids, "commands": commands, "replies": replies}


_WRITE, _REWRITE = LateWrite(_STORE, _columns), LateWrite(_CHANGE, _columns)


async def _send(tx: Transaction, subject: str, reply: saga_pb2.Reply) -> None:
    attempts = ".".join(str(each.attempt) for each in (*reply.before, reply))
    message_id = f"{reply.command_id}.{attempts}.{saga_pb2.Outcome.Name(reply.outcome)}"
    await outbox.add_protobuf(tx, message_id, subject, reply.saga_id, reply)
