"""Parked messages in their table, the audit of their redrives, and what may be told of a message.

A message that was handled again leaves `parked_messages`, and its payload with it; who had it handled, and why, stays
in `message_redrives`. A redrive is written down before the message is handled, so that it is known also of one that was
cut off: then the message is still parked, and to redrive it once more is safe.

    parked --begin--> parked, redrive begun --handled--> gone, redrive handled
      ^                                     |
      +------- redrive failed, new error ---+

Whoever redrives or discards (`discards`) a message has its row locked from before they write anything down until they
are done, so nobody else does meanwhile. One that was discarded is not parked again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from google.protobuf.message import DecodeError
from sqlalchemy import text

from petpro.saga.v1 import saga_pb2
from petpro_common import telemetry
from petpro_common.db import Database, Row, Transaction
from petpro_common.errors import NotFound, WrongState
from petpro_common.messaging.subjects import COMMANDS, EVENTS, REPLIES, STREAMS

_PARK = text("""
    INSERT INTO parked_messages (message_id, consumer, subject, headers, payload, error, tries)
    VALUES (:message_id, :consumer, :subject, CAST(:headers AS jsonb), :payload, :error, :tries)
    ON CONFLICT (message_id) DO UPDATE SET error = excluded.error, tries = excluded.tries, parked_at = CURRENT_TIMESTAMP
""")
# After _PARK, which waits for who is discarding the message: only a later statement sees that they have. What has no
# id of its own is called by its number in the stream, which is given again once the broker's store was wiped: then what
# was discarded is older than the message.
_STAYS_DISCARDED = text("""
    DELETE FROM parked_messages USING message_redrives
    WHERE parked_messages.message_id = :message_id AND message_redrives.message_id = parked_messages.message_id
      AND outcome = 'discarded' AND (CAST(:has_own_id AS boolean) OR at >= CAST(:arrived_at AS timestamptz))
    RETURNING parked_messages.id
""")
_COLUMNS = """
    id, message_id, subject, headers, payload, error, tries, parked_at,
    (SELECT count(*) FROM message_redrives WHERE message_redrives.message_id = parked_messages.message_id)
        AS redrive_count
"""
# Those that were set aside first come first: so they are redriven.
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM parked_messages
    WHERE (CAST(:subject AS text) = '' OR subject = :subject
           OR (right(:subject, 1) = '.' AND starts_with(subject, :subject)))
      AND (CAST(:error AS text) = '' OR position(lower(:error) IN lower(error)) > 0)
      AND parked_at <= clock_timestamp() - make_interval(secs => CAST(:min_age_seconds AS double precision))
      AND id > :after
    ORDER BY id LIMIT :limit
""")  # noqa: S608  # the columns are a constant
_ONE = text(f"SELECT {_COLUMNS} FROM parked_messages WHERE id = :id")  # noqa: S608  # the same
# What somebody has locked is passed over.
_HOLD = text(f"""
    SELECT {_COLUMNS} FROM parked_messages WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE SKIP LOCKED
""")  # noqa: S608  # the same
_WAITING = text("""
    SELECT count(*) AS messages,
        coalesce(extract(epoch FROM clock_timestamp() - min(parked_at)), 0) AS oldest_seconds
    FROM parked_messages
""")
_REDRIVES = text("""
    SELECT at, operator, reason, outcome, error FROM message_redrives WHERE message_id = :message_id ORDER BY id
""")
_BEGIN = text("""
    INSERT INTO message_redrives (message_id, subject, error_before, operator, reason)
    SELECT message_id, subject, error, :operator, :reason FROM parked_messages WHERE id = :id RETURNING id
""")
_HANDLED = text("""
    WITH handled AS (DELETE FROM parked_messages WHERE id = :id)
    UPDATE message_redrives SET outcome = 'handled', ended_at = clock_timestamp() WHERE id = :redrive_id
""")
# The instant stays: since then the effect has been missing.
_FAILED = text("""
    WITH failed AS (UPDATE parked_messages SET error = :error WHERE id = :id)
    UPDATE message_redrives SET outcome = 'failed', error = :error, ended_at = clock_timestamp() WHERE id = :redrive_id
""")
_TOLD_HEADERS = ("ce-id", "ce-type", "ce-source", "ce-subject", "ce-time", "content-type", "traceparent")


async def look(database: Database) -> None:
    """Sets the gauges to how many messages wait for an operator, and for how long."""
    async with database.reading() as tx:
        found = (await tx.execute(_WAITING)).one()
    telemetry.PARKED_NOW.set(found.messages)
    telemetry.PARKED_OLDEST_SECONDS.set(found.oldest_seconds)


class ParkedMessageNotFound(NotFound):
    """No such message is parked; perhaps it was redriven or discarded."""

    reason = "PARKED_MESSAGE_NOT_FOUND"


class ParkedMessageInHand(WrongState):
    """Somebody redrives or discards this message at this moment; look again."""

    reason = "PARKED_MESSAGE_IN_HAND"


@dataclass(frozen=True)
class Filters:
    """Which messages; what is empty asks for nothing. `subject` is whole, or a beginning that ends in a dot."""

    subject: str = ""
    error: str = ""
    min_age_seconds: int = 0


async def park(tx: Transaction, row: Mapping[str, Any], *, has_own_id: bool, arrived_at: datetime) -> bool:
    """Sets a message aside, `row` being its columns; False when it was discarded before, and so stays away."""
    tx.write(_PARK, row)
    about = {"message_id": row["message_id"], "has_own_id": has_own_id, "arrived_at": arrived_at}
    return (await tx.execute(_STAYS_DISCARDED, about)).first() is None


async def page(tx: Transaction, filters: Filters, after: int, limit: int) -> list[Row]:
    """Parked messages, those set aside first before others, after one id."""
    return list((await tx.execute(_PAGE, {**asdict(filters), "after": after, "limit": limit})).all())


async def one(tx: Transaction, id_: int) -> Row:
    """One parked message. Raises ParkedMessageNotFound."""
    row = (await tx.execute(_ONE, {"id": id_})).first()
    if row is None:
        raise ParkedMessageNotFound
    return row


async def hold(tx: Transaction, ids: Iterable[int]) -> list[Row]:
    """Parked messages, in their order, locked until the transaction ends; without those that somebody else holds."""
    return list((await tx.execute(_HOLD, {"ids": list(ids)})).all())


async def hold_one(tx: Transaction, id_: int) -> Row:
    """One parked message, locked. Raises ParkedMessageNotFound, and ParkedMessageInHand when somebody else holds it."""
    for row in await hold(tx, [id_]):
        return row
    await one(tx, id_)
    raise ParkedMessageInHand


async def redrives(tx: Transaction, message_id: str) -> list[Row]:
    """Who had a message handled again, oldest first."""
    return list((await tx.execute(_REDRIVES, {"message_id": message_id})).all())


async def begin(tx: Transaction, id_: int, operator: str, reason: str) -> int:
    """Writes down that a message, which another transaction holds, is to be handled again; the redrive's id."""
    return int((await tx.execute(_BEGIN, {"id": id_, "operator": operator, "reason": reason})).scalar_one())


def end(tx: Transaction, id_: int, redrive_id: int, error: str) -> None:
    """Writes down how a redrive ended; without an error the message is no longer parked."""
    if error:
        tx.write(_FAILED, {"id": id_, "redrive_id": redrive_id, "error": error})
    else:
        tx.write(_HANDLED, {"id": id_, "redrive_id": redrive_id})


def facts(subject: str, headers: Mapping[str, str], payload: bytes) -> dict[str, str]:
    """What may be told of a message: headers of ours, ids, and where in which saga it belongs. Never what it says."""
    told = {name: headers[name] for name in _TOLD_HEADERS if name in headers}
    for stream, read in _READERS.items():
        if subject.startswith(STREAMS[stream].removesuffix(">")):
            told |= read(payload)
    return told


def _event_facts(payload: bytes) -> dict[str, str]:
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    fields = event.items() if isinstance(event, dict) else ()
    # A reservation's lock_id, which is its customer's secret, is no UUID.
    return {name: value for name, value in fields if name.endswith("_id") and _is_uuid(value)}


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _command_facts(payload: bytes) -> dict[str, str]:
    return _saga_facts(saga_pb2.Command, payload)


def _reply_facts(payload: bytes) -> dict[str, str]:
    return _saga_facts(saga_pb2.Reply, payload)


def _saga_facts(kind: type[saga_pb2.Command] | type[saga_pb2.Reply], payload: bytes) -> dict[str, str]:
    try:
        message = kind.FromString(payload)
        direction = saga_pb2.Direction.Name(message.direction).removeprefix("DIRECTION_").lower()
    except (DecodeError, ValueError):
        return {}
    names = {name: getattr(message, name) for name in ("command_id", "saga_id", "saga_type", "step")}
    return {**names, "direction": direction, "attempt": str(message.attempt), "type": message.payload.TypeName()}


_READERS = {EVENTS: _event_facts, COMMANDS: _command_facts, REPLIES: _reply_facts}
