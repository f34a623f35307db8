"""The outbox: messages that commit together with the change that caused them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from google.protobuf.message import Message
from sqlalchemy import text

from petpro_common.db import LateWrite, Rows, Transaction
from petpro_common.ids import new_id_text
from petpro_common.messaging.subjects import event_subject
from petpro_common.telemetry import trace_headers

# All messages of a transaction at once, numbered in the order in which they were added, and with each the numbers of
# those of its aggregate that wait (`schema.HAND_OFF_V2` says why they are told by `stream_seq`).
_ADD = text("""
    INSERT INTO outbox (message_id, subject, aggregate, headers, payload)
    SELECT message_id, subject, aggregate, headers, payload
    FROM unnest(CAST(:message_ids AS text[]), CAST(:subjects AS text[]), CAST(:aggregates AS text[]),
                CAST(:headers AS jsonb[]), CAST(:payloads AS bytea[]))
         WITH ORDINALITY AS given(message_id, subject, aggregate, headers, payload, number)
    ORDER BY number
    ON CONFLICT (message_id) DO NOTHING
    RETURNING id, message_id,
        ARRAY(SELECT waiting.id FROM outbox waiting
              WHERE waiting.aggregate = outbox.aggregate AND waiting.stream_seq IS NULL LIMIT :most) AS before
""")
_MOST_BEFORE = 32


@dataclass(slots=True)
class Outgoing:
    """A message. Once it is written it has its number, and those of the messages that may not leave after it.

    `before` is None when these are too many to be told.
    """

    message_id: str
    subject: str
    aggregate: str
    headers: Mapping[str, str]
    payload: bytes
    id: int = 0
    before: list[int] | None = None


def add(
    tx: Transaction, message_id: str, subject: str, aggregate: str, headers: Mapping[str, str], payload: bytes
) -> None:
    """Writes one message, with the others of the transaction right before the commit.

    The same message id again changes nothing. Messages of one `aggregate` leave in the order in which they were added
    and committed.
    """
    tx.write_late(_WRITE, Outgoing(message_id, subject, aggregate, {**headers, **trace_headers()}, payload))
    tx.has_messages = True


def _columns(messages: list[Outgoing]) -> Mapping[str, Any]:
    return {
        "message_ids": [message.message_id for message in messages],
        "subjects": [message.subject for message in messages],
        "aggregates": [message.aggregate for message in messages],
        "headers": [orjson.dumps(message.headers).decode() for message in messages],
        "payloads": [message.payload for message in messages],
        "most": _MOST_BEFORE + 1,
    }


def _number(tx: Transaction, messages: list[Outgoing], rows: Rows) -> None:
    by_id = {message.message_id: message for message in messages}
    for row in rows:
        written = by_id[row.message_id]
        written.id, written.before = row.id, row.before if len(row.before) <= _MOST_BEFORE else None
        tx.messages.append(written)


_WRITE = LateWrite(_ADD, _columns, _number)


def add_event(tx: Transaction, service: str, event_type: str, aggregate: UUID, fields: Mapping[str, Any]) -> None:
    """Publishes a domain event: JSON with `event_type` and `fields`, as a CloudEvent 1.0 in NATS binary mode.

    Values may be ids, instants, dates, times, Decimals (written as strings), None, or plain JSON.
    """
    event_id = new_id_text()
    headers = {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": event_type,
        "ce-source": f"petpro/{service}",
        "ce-subject": str(aggregate),
        "ce-time": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
    }
    payload = orjson.dumps({"event_type": event_type, **fields}, default=_plain)
    add(tx, event_id, event_subject(event_type), str(aggregate), headers, payload)


def add_protobuf(tx: Transaction, message_id: str, subject: str, aggregate: str, message: Message) -> None:
    """Publishes a command or a reply."""
    headers = {"content-type": "application/protobuf"}
    add(tx, message_id, subject, aggregate, headers, message.SerializeToString())


def _plain(value: Any) -> str:
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an event")
