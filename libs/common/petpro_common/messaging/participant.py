"""A saga's participant: handles commands once and answers each copy with the same reply.

A handler runs in the transaction that claims the command, and returns what it decided:

    Succeeded(payload)   done, with a typed result
    Refused(reason)      nothing was changed, for good
    Pending()            taken on; `answer` gives the definite outcome later, with the transaction that knows it

With the reply, of the command is stored only whom to answer: what it says may be secret. A copy of the
command gets the stored reply again, so a lost reply costs nothing but time, and a definite answer never changes. That
a command is pending is told to its copies alone: mostly the definite answer is there before anybody asks again. (Only
of a command that goes `ahead` is it told at once: with the answer to the command before it.)

Commands that come in one message are carried out in one transaction, one after the other as far as each has succeeded,
and are answered by one reply. One that goes ahead is taken on while that before it is pending, and waits for what that
one brings about; if both are answered at one time, one reply tells them. A message that an operator has discarded is
passed over, unanswered.

Who gives a command chooses where it is answered, and the answer goes out in this service's name: so it goes where
replies go and nowhere else. A command that wants it elsewhere, or that came on the subject of another, is set aside.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import takewhile
from types import MappingProxyType
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from petpro.saga.v1 import saga_pb2
from petpro_common import telemetry
from petpro_common.db import Database, Row, Transaction
from petpro_common.messaging import inbox, replies
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, OutOfPlace, UnknownKind, Unprocessable, in_hand
from petpro_common.messaging.subjects import COMMANDS, ID_HEADER, command_subject, is_reply_subject
from petpro_common.together import Together, by_handler


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


CommandsHandler: TypeAlias = Together[tuple[str, Any], Sequence[Answer]]
"""Takes all commands of one type that are at hand, each as (command id, typed message): an answer for each."""
Handler: TypeAlias = CommandHandler | CommandsHandler
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
    def message_id(self) -> str:
        """As the outbox that it came from gave it; empty when it came from none."""
        return (self.message.headers or {}).get(ID_HEADER, "")

    @property
    def left(self) -> Sequence[_Order]:
        """The commands that were not carried out."""
        return self.orders[len(self.replies) :]

    @property
    def goes_on(self) -> bool:
        """Whether the next command is to be carried out: there is one, and all before it have succeeded.

        One that goes ahead is, too, when the last of those is pending.
        """
        if not self.left or not self.replies:
            return bool(self.left)
        outcome = self.replies[-1].outcome
        return outcome == replies.SUCCEEDED or (outcome == replies.PENDING and self.left[0].command.ahead)

    @property
    def ahead(self) -> Sequence[saga_pb2.Command]:
        """Those of the commands left that wait for the one that was carried out last."""
        return [order.command for order in takewhile(lambda order: order.command.ahead, self.left)]

    def is_told(self, stored: Mapping[str, Row]) -> bool:
        """Whether the replies say more than that a command is pending of which nobody has asked again."""
        carried_out = zip(self.orders, self.replies, strict=False)
        first = next((order for order, reply in carried_out if reply.outcome == replies.PENDING), None)
        return first is None or first.id in stored or first.command.ahead


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
            ids = {order.id for each in received for order in each.orders}
            published = {each.message_id for each in received} - {""}
            unknown = await inbox.unknown(tx, ids, published)
            known, discarded = ids - unknown, published - unknown
            stored = await replies.known(tx, known) if known else {}
            while due := [each for each in received if each.goes_on and each.message_id not in discarded]:
                await _carry_out(tx, due, stored)

    subjects = [f"petpro.commands.{broker.service}.>"]
    return Consumer(database, broker, COMMANDS, subjects, handle, lambda m: saga_of(m.data))


def trace_of(command_id: str) -> str | None:
    """The trace (`traceparent`) that a command in hand came with, also of one that is handled with others."""
    return _traces.get().get(command_id)


async def _carry_out(tx: Transaction, received: Sequence[_Received], stored: Mapping[str, Row]) -> None:
    """Has the next command of each message carried out, or takes its stored reply."""
    decided = await _decide_together(tx, [each.left[0] for each in received if each.left[0].id not in stored])
    for each in received:
        order, is_new = each.left[0], each.left[0].id not in stored
        with _in_hand(each, order, decided.get(order.id)):
            if is_new and not isinstance(order.handler, Together):
                decided[order.id] = await order.handler(tx, order.id, order.payload)
            if is_new:
                each.replies.append(_reply_to(order.command, decided[order.id]))
                _store_last(tx, each)
            else:
                each.replies.append(replies.again(stored[order.id], order.command))
            if not each.goes_on and each.is_told(stored):
                replies.send(tx, order.command.reply_to, each.replies)


def _store_last(tx: Transaction, each: _Received) -> None:
    """Stores the newest reply; if the command is pending, with what its definite answer will have to tell besides."""
    command, *before, reply = each.orders[len(each.replies) - 1].command, *each.replies
    if reply.outcome == replies.PENDING and all(one.outcome == replies.SUCCEEDED for one in before):
        command.next.extend(each.ahead)
        reply = replies.as_one(each.replies)
    replies.store(tx, replies.WRITE, command, reply)


def _in_hand(each: _Received, order: _Order, decided: Answer | None) -> AbstractContextManager[None]:
    """Makes a command the call in hand, unless it is decided, by itself tells nobody, and its trace is not recorded."""
    tells_nobody = isinstance(decided, Pending) or (isinstance(decided, Succeeded) and len(each.left) > 1)
    if tells_nobody and not telemetry.is_recorded(each.message.headers or {}):
        return nullcontext()
    booking_id = getattr(order.payload, "booking_id", "")
    return in_hand(each.message, subject=order.subject, saga_id=order.command.saga_id, booking_id=booking_id)


async def _decide_together(tx: Transaction, orders: Sequence[_Order]) -> dict[str, Answer]:
    """The answers of those handlers that take all commands of their type at once."""
    decided: dict[str, Answer] = {}
    for handler, given in by_handler((order.handler, (order.id, order.payload)) for order in orders).items():
        answers = await handler.handle(tx, given)
        decided |= {command_id: answer for (command_id, _), answer in zip(given, answers, strict=True)}
    return decided


def _read(message: Msg, by_type: Mapping[str, _Kind]) -> _Received:
    try:
        command = saga_pb2.Command.FromString(message.data)
        orders = [_order(each, by_type) for each in (command, *command.next)]
    except DecodeError as fault:
        raise Unprocessable("not a command") from fault
    if message.subject != orders[0].subject:
        raise OutOfPlace("the command is not the one that its subject names")
    command.ClearField("next")
    return _Received(message, orders)


def _order(command: saga_pb2.Command, by_type: Mapping[str, _Kind]) -> _Order:
    name = command.payload.TypeName()
    if name not in by_type:
        raise UnknownKind(f"no handler for command {name!r}")
    if not is_reply_subject(command.reply_to):
        raise OutOfPlace("the command wants its answer where no replies go")
    kind, handler, subject = by_type[name]
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
    stored = await replies.find(tx, {command_id for command_id, _, _ in given})
    answered: replies.Answered = {}
    for command_id, decided, trace in given:
        row = stored.pop(command_id, None)
        pending = saga_pb2.Reply.FromString(bytes(row.reply)) if row and row.command is not None else None
        if row is None or pending is None or pending.outcome != replies.PENDING:
            continue
        command = saga_pb2.Command.FromString(bytes(row.command))
        reply = _reply_to(command, decided)
        replies.store(tx, replies.REWRITE, command, reply)
        answered[command_id] = command, [*pending.before, reply], trace
    await replies.tell(tx, answered)


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
