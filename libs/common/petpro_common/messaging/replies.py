"""The replies of a participant: stored with the commands that they answer, and sent, several as one message."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import text

from petpro.saga.v1 import saga_pb2
from petpro_common import telemetry
from petpro_common.db import LateWrite, Row, Transaction
from petpro_common.messaging import outbox

SUCCEEDED, PENDING = saga_pb2.OUTCOME_SUCCEEDED, saga_pb2.OUTCOME_PENDING
Answered: TypeAlias = dict[str, tuple[saga_pb2.Command, list[saga_pb2.Reply], Mapping[str, str]]]
"""By command id: whom to answer, the replies that tell it, and the trace in which it was answered."""

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
_KNOWN = text("SELECT message_id, command, reply FROM inbox WHERE message_id = ANY(:command_ids)")
# In the order of `inbox.unknown`.
_LOCKED = text("""
    SELECT message_id, command, reply FROM inbox WHERE message_id = ANY(:command_ids) ORDER BY message_id FOR UPDATE
""")


def _columns(rows: list[tuple[str, bytes, bytes]]) -> Mapping[str, Any]:
    command_ids, commands, replies = (list(column) for column in zip(*rows, strict=True))
    return {"command_ids": command_ids, "commands": commands, "replies": replies}


WRITE, REWRITE = LateWrite(_STORE, _columns), LateWrite(_CHANGE, _columns)


def store(tx: Transaction, write: LateWrite, command: saga_pb2.Command, reply: saga_pb2.Reply) -> None:
    """Writes a reply, and whom it answers, with the commit: new (`WRITE`), or in place of a pending one (`REWRITE`)."""
    tx.write_late(write, (command.command_id, command.SerializeToString(), reply.SerializeToString()))


async def known(tx: Transaction, command_ids: Iterable[str]) -> dict[str, Row]:
    """What is stored of commands that were carried out before, by their ids, as of now.

    For copies. They lock nothing: one that tells of a pending command while the definite answer is being given tells
    what was true when it came, and the saga hears that answer beside it.
    """
    return {row.message_id: row for row in await tx.execute(_KNOWN, {"command_ids": list(command_ids)})}


async def find(tx: Transaction, command_ids: Iterable[str]) -> dict[str, Row]:
    """What `known` gives, locked, for whoever is to change it."""
    return {row.message_id: row for row in await tx.execute(_LOCKED, {"command_ids": list(command_ids)})}


def again(stored: Row, command: saga_pb2.Command) -> saga_pb2.Reply:
    """The stored reply to a command, as one to this attempt."""
    reply = _alone(stored)
    reply.attempt = command.attempt
    return reply


def _alone(stored: Row) -> saga_pb2.Reply:
    reply = saga_pb2.Reply.FromString(bytes(stored.reply))
    reply.ClearField("before")  # those are told by themselves
    return reply


def send(tx: Transaction, subject: str, replies: Sequence[saga_pb2.Reply]) -> None:
    """Has a message leave with the commit that tells the replies to one command and those that came with it."""
    attempts = ".".join(f"{each.attempt}{'p' if each.outcome == PENDING else ''}" for each in replies)
    reply = as_one(replies)
    message_id = f"{reply.command_id}.{attempts}.{saga_pb2.Outcome.Name(reply.outcome)}"
    outbox.add_protobuf(tx, message_id, subject, reply.saga_id, reply)


def as_one(replies: Sequence[saga_pb2.Reply]) -> saga_pb2.Reply:
    """The last of the replies, which tells the others too."""
    *before, last = replies
    told = saga_pb2.Reply()
    told.CopyFrom(last)
    told.before.extend(before)
    return told


async def tell(tx: Transaction, answered: Answered) -> None:
    """Sends the answers, each with those of the commands that went ahead and wait behind it.

    The answer to one that is pending still will tell all of it once more: it may come to the saga before this one.
    """
    behind = {
        command_id: [each.command_id for each in command.next]
        for command_id, (command, replies, _) in answered.items()
        if command.next and replies[-1].outcome == SUCCEEDED
    }
    waiting = {each for ids in behind.values() for each in ids} - answered.keys()
    stored = await find(tx, waiting) if waiting else {}
    for command_id, ids in behind.items():
        told = answered[command_id][1]
        for each in ids:
            if each in answered:
                told += answered.pop(each)[1]
            elif row := stored.get(each):
                told.append(_alone(row))
                if told[-1].outcome == PENDING:
                    store(tx, REWRITE, saga_pb2.Command.FromString(bytes(row.command)), as_one(told))
    for command, replies, trace in answered.values():
        with telemetry.within_trace(trace):
            send(tx, command.reply_to, replies)
