"""The outbox: messages that commit together with the change that caused them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from google.protobuf.message import Message
from sqlalchemy import text

from petpro_common.db import Transaction, wake_relay_after_commit
from petpro_common.ids import new_id
from petpro_common.messaging.subjects import event_subject
from petpro_common.telemetry import trace_headers

_ADD = text("""
    INSERT INTO outbox (message_id, subject, aggregate, headers, payload)
    VALUES (:message_id, :subject, :aggregate, CAST(:headers AS jsonb), :payload)
    ON CONFLICT (message_id) DO NOTHING
""")


async def add(
    tx: Transaction, message_id: str, subject: str, aggregate: str, headers: Mapping[str, str], payload: bytes
) -> None:
    """Writes one message; the same message id again changes nothing.

    Messages of one `aggregate` leave in the order in which they were written and committed.
    """
    row = {
        "message_id": message_id,
        "subject": subject,
        "aggregate": aggregate,
        "headers": orjson.dumps({**headers, **trace_headers()}).decode(),
        "payload": payload,
    }
    await tx.execute(_ADD, row)
    wake_relay_after_commit(tx)


async def add_event(tx: Transaction, service: str, event_type: str, aggregate: UUID, fields: Mapping[str, Any]) -> None:
    """Publishes a domain event: JSON with `event_type` and `fields`, as a CloudEvent 1.0 in NATS binary mode.

    Values may be ids, instants, dates, times, Decimals (written as strings), None, or plain JSON.
    """
    event_id = str(new_id())
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
    await add(tx, event_id, event_subject(event_type), str(aggregate), headers, payload)


async def add_protobuf(tx: Transaction, message_id: str, subject: str, aggregate: str, message: Message) -> None:
    """Publishes a command or a reply."""
    headers = {"content-type": "application/protobuf"}
    await add(tx, message_id, subject, aggregate, headers, message.SerializeToString())


def _plain(value: Any) -> str:
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an event")
