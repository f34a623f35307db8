"""Consuming domain events: one function per event type, each run once per event in the transaction of its effects."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from nats.aio.msg import Msg

from petpro_common.db import Database, Transaction
from petpro_common.messaging import inbox
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, Unprocessable
from petpro_common.messaging.subjects import EVENTS, event_subject

Event = Mapping[str, Any]
EventHandler = Callable[[Transaction, Event], Awaitable[None]]


def event_consumer(database: Database, broker: Broker, handlers: Mapping[str, EventHandler]) -> Consumer:
    """A consumer of the event types in `handlers`."""

    async def handle(message: Msg) -> None:
        headers = message.headers or {}
        event_type, event_id = headers.get("ce-type", ""), headers.get("ce-id")
        if event_id is None or event_type not in handlers:
            raise Unprocessable(f"no handler for event {event_type!r}")
        try:
            event = orjson.loads(message.data)
        except orjson.JSONDecodeError as fault:
            raise Unprocessable("the event is not JSON") from fault
        async with database.transaction() as tx:
            if await inbox.claim(tx, event_id):
                await handlers[event_type](tx, event)

    subjects = [event_subject(event_type) for event_type in handlers]
    return Consumer(
        database, broker, EVENTS, subjects, handle, lambda m: (m.headers or {}).get("ce-subject", m.subject)
    )
