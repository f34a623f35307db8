"""Consuming domain events: one function per event type, each run once per event in the transaction of its effects.

An event is of the type that its subject names, for that is what its sender may say; one that calls itself anything else
is set aside.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson
from nats.aio.msg import Msg

from petpro_common.db import Database, Transaction
from petpro_common.messaging import inbox
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, OutOfPlace, UnknownKind, Unprocessable, in_hand
from petpro_common.messaging.subjects import EVENTS, event_subject
from petpro_common.together import Together, by_handler

Event = Mapping[str, Any]
EventHandler = Callable[[Transaction, Event], Awaitable[None]]


EventsHandler: TypeAlias = Together[tuple[str, Event], None]
"""Takes all events at hand of the types that it is given for, each as (type, event), one of each aggregate."""
Handler: TypeAlias = EventHandler | EventsHandler
_Received: TypeAlias = tuple[Msg, str, Handler, Event]


def event_consumer(database: Database, broker: Broker, handlers: Mapping[str, Handler]) -> Consumer:
    """A consumer of the event types in `handlers`."""

    async def handle(messages: Sequence[Msg]) -> None:
        events = [(message, *_read(message, handlers)) for message in messages]
        async with database.transaction() as tx:
            new = await inbox.claim(tx, (event_id for _, event_id, _, _ in events))
            due = [each for each in events if each[1] in new]
            await _handle_together(tx, due)
            for message, _, handler, event in due:
                with in_hand(message, booking_id=event.get("booking_id")):
                    if not isinstance(handler, Together):
                        await handler(tx, event)

    subjects = [event_subject(event_type) for event_type in handlers]
    return Consumer(
        database, broker, EVENTS, subjects, handle, lambda m: (m.headers or {}).get("ce-subject", m.subject)
    )


async def _handle_together(tx: Transaction, received: Sequence[_Received]) -> None:
    given = ((handler, ((message.headers or {})["ce-type"], event)) for message, _, handler, event in received)
    for handler, events in by_handler(given).items():
        await handler.handle(tx, events)


def _read(message: Msg, handlers: Mapping[str, Handler]) -> tuple[str, Handler, Event]:
    headers = message.headers or {}
    event_type, event_id = headers.get("ce-type", ""), headers.get("ce-id")
    if message.subject != event_subject(event_type):
        raise OutOfPlace("the event is not of the type that its subject names")
    if event_id is None:
        raise Unprocessable("the event has no id")
    if event_type not in handlers:
        raise UnknownKind(f"no handler for event {event_type!r}")
    try:
        return event_id, handlers[event_type], orjson.loads(message.data)
    except orjson.JSONDecodeError as fault:
        raise Unprocessable("the event is not JSON") from fault
