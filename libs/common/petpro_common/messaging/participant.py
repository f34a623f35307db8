"""A saga's participant: handles commands once and answers each copy with the same reply.

A handler runs in the transaction that claims the command, and returns what it decided:

    Succeeded(payload)   done, with a typed result
    Refused(reason)      nothing was changed, for good
    Pending()            taken on; `answer` gives the definite outcome later, in the transaction that knows it

The reply is stored with the claim, and of the command only whom to answer: what it says may be secret. A copy of the
command gets the stored reply again, so a lost reply costs nothing but time, and a definite answer never changes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from sqlalchemy import text

from petpro.saga.v1 import saga_pb2
from petpro_common.db import Database, LateWrite, Transaction
from petpro_common.messaging import inbox, outbox
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, Unprocessable, in_hand
from petpro_common.messaging.subjects import COMMANDS


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
_Kind: TypeAlias = tuple[type[Message], Handler]
_Read: TypeAlias = tuple[Msg, saga_pb2.Command, Handler, Message]

# The replies of a transaction at once.
_STORE = text("""
    UPDATE inbox SET command = given.command, reply = given.reply
    FROM unnest(CAST(:command_ids AS text[]), CAST(:commands AS bytea[]), CAST(:replies AS bytea[]))
         AS given(command_id, command, reply)
    WHERE message_id = given.command_id
""")
_LOCKED = text("SELECT command, reply FROM inbox WHERE message_id = :command_id FOR UPDATE")
_traces: ContextVar[Mapping[str, str | None]] = ContextVar("petpro_traces_of_commands", default=MappingProxyType({}))
_OUTCOMES = {
    Succeeded: saga_pb2.OUTCOME_SUCCEEDED,
    Refused: saga_pb2.OUTCOME_REFUSED,
    Pending: saga_pb2.OUTCOME_PENDING,
}


def command_consumer(database: Database, broker: Broker, handlers: Mapping[type[Message], Handler]) -> Consumer:
    """A consumer of this service's commands: one handler per message type."""
    by_type = {kind.DESCRIPTOR.full_name: (kind, handler) for kind, handler in handlers.items()}

    async def handle(messages: Sequence[Msg]) -> None:
        commands = [_read(message, by_type) for message in messages]
        _traces.set(
            {command.command_id: (message.headers or {}).get("traceparent") for message, command, *_ in commands}
        )
        async with database.transaction() as tx:
            new = await inbox.claim(tx, (command.command_id for _, command, _, _ in commands))
            decided = await _decide_together(tx, [read for read in commands if read[1].command_id in new])
            for message, command, handler, payload in commands:
                with in_hand(message, saga_id=command.saga_id, booking_id=getattr(payload, "booking_id", "")):
                    if command.command_id not in new:
                        await _reply_again(tx, command)
                        continue
                    if not isinstance(handler, Together):
                        decided[command.command_id] = await handler(tx, command.command_id, payload)
                    await _reply(tx, command, _reply_to(command, decided[command.command_id]))

    subjects = [f"petpro.commands.{broker.service}.>"]
    return Consumer(database, broker, COMMANDS, subjects, handle, lambda m: saga_of(m.data))


def trace_of(command_id: str) -> str | None:
    """The trace (`traceparent`) that a command in hand came with, also of one that is handled with others."""
    return _traces.get().get(command_id)


async def _decide_together(tx: Transaction, commands: Sequence[_Read]) -> dict[str, Answer]:
    """The answers of those handlers that take all commands of their type at once."""
    groups: dict[Together, list[tuple[str, Message]]] = {}
    for _, command, handler, payload in commands:
        if isinstance(handler, Together):
            groups.setdefault(handler, []).append((command.command_id, payload))
    decided: dict[str, Answer] = {}
    for handler, orders in groups.items():
        answers = await handler.handle(tx, orders)
        decided |= {command_id: answer for (command_id, _), answer in zip(orders, answers, strict=True)}
    return decided


def _read(message: Msg, by_type: Mapping[str, _Kind]) -> _Read:
    try:
        command = saga_pb2.Command.FromString(message.data)
        kind, handler = by_type[command.payload.TypeName()]
        return message, command, handler, kind.FromString(command.payload.value)
    except (DecodeError, KeyError) as fault:
        raise Unprocessable("not a command of this service") from fault


def saga_of(data: bytes) -> str:
    """The saga that a command belongs to: its commands are handled in order."""
    try:
        return saga_pb2.Command.FromString(data).saga_id
    except DecodeError:
        return ""


async def answer(tx: Transaction, command_id: str, decided: Succeeded | Refused) -> None:
    """Gives the definite answer to a pending command; a second one, or one to an unknown command, changes nothing."""
    row = (await tx.execute(_LOCKED, {"command_id": command_id})).first()
    if row is None or row.command is None:
        return
    if saga_pb2.Reply.FromString(bytes(row.reply)).outcome != saga_pb2.OUTCOME_PENDING:
        return
    command = saga_pb2.Command.FromString(bytes(row.command))
    await _reply(tx, command, _reply_to(command, decided))


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
        packed = ProtoAny()
        packed.Pack(decided.payload)
        reply.payload.CopyFrom(packed)
    return reply


async def _reply(tx: Transaction, command: saga_pb2.Command, reply: saga_pb2.Reply) -> None:
    envelope = saga_pb2.Command()
    envelope.CopyFrom(command)
    envelope.ClearField("payload")
    tx.write_late(_WRITE, (command.command_id, envelope.SerializeToString(), reply.SerializeToString()))
    await _send(tx, command.reply_to, reply)


def _columns(rows: list[tuple[str, bytes, bytes]]) -> Mapping[str, Any]:
    command_ids, commands, replies = (list(column) for column in zip(*rows, strict=True))
    return {"command_ids": command_ids, "commands": commands, "replies": replies}


_WRITE = LateWrite(_STORE, _columns)


async def _reply_again(tx: Transaction, command: saga_pb2.Command) -> None:
    row = (await tx.execute(_LOCKED, {"command_id": command.command_id})).one()
    reply = saga_pb2.Reply.FromString(bytes(row.reply))
    reply.attempt = command.attempt
    await _send(tx, command.reply_to, reply)


async def _send(tx: Transaction, subject: str, reply: saga_pb2.Reply) -> None:
    message_id = f"{reply.command_id}.{reply.attempt}.{saga_pb2.Outcome.Name(reply.outcome)}"
    await outbox.add_protobuf(tx, message_id, subject, reply.saga_id, reply)
