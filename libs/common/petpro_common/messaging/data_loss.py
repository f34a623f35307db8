"""Whether the broker still has what it acknowledged to us. JetStream may lose its store, or get an old copy of it back.

Four things are held against what was seen of a stream the last time (`broker_memory`):

1. It is the same stream: one that was made anew has another instant of creation.
2. Our newest message is there, under the number that it was given, or has grown too old.
3. There are no more holes than before: only age takes messages out, at the beginning.
4. What went at the beginning had grown too old.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog
from nats.js.errors import NotFoundError
from sqlalchemy import text

from petpro_common import telemetry
from petpro_common.db import Row, Session
from petpro_common.messaging.broker import REQUEST_SECONDS, Broker
from petpro_common.messaging.subjects import ID_HEADER, STREAMS

_AGE_MARGIN_SECONDS = 3600  # clocks of two machines
_FOR_EVER_SECONDS = 10 * 365 * 24 * 3600.0
_UNMARK_BATCH = 5_000

_SEEN = text("SELECT created, first_seq, holes FROM broker_memory WHERE stream = :stream")
_KEEP = text("""
    INSERT INTO broker_memory (stream, created, first_seq, holes) VALUES (:stream, :created, :first_seq, :holes)
    ON CONFLICT (stream) DO UPDATE
        SET created = excluded.created, first_seq = excluded.first_seq, holes = excluded.holes
""")
_NEWEST = text("""
    SELECT message_id, stream_seq FROM outbox
    WHERE stream = :stream AND published_at IS NOT NULL ORDER BY stream_seq DESC LIMIT 1
""")
_GONE_TOO_EARLY = text("""
    SELECT message_id FROM outbox
    WHERE stream = :stream AND published_at IS NOT NULL AND stream_seq >= :seen_first AND stream_seq < :first_seq
      AND published_at > clock_timestamp() - make_interval(secs => :seconds)
    LIMIT 1
""")
# Oldest first: what tells that the broker has forgotten goes last, so a crash in between is noticed again.
_UNMARK = text("""
    UPDATE outbox SET published_at = NULL, stream_seq = NULL WHERE id = ANY(ARRAY(
        SELECT id FROM outbox WHERE stream = :stream AND published_at IS NOT NULL ORDER BY stream_seq LIMIT :batch))
""")

_log = structlog.get_logger()


@dataclass(frozen=True)
class Look:
    """What a stream looks like now."""

    created: datetime | None
    first_seq: int
    holes: int
    max_age: float
    """Seconds for which it keeps messages: what whoever made it asked for, which may have been an earlier release."""


async def republish_forgotten(session: Session, broker: Broker) -> None:
    """Has all of a stream published again when something of it is gone.

    Raises NatsError or TimeoutError when the broker does not say, or has no stream and makes none.
    """
    for stream in STREAMS:
        async with asyncio.timeout(2 * REQUEST_SECONDS):
            now = await look(broker, stream)
        if await has_forgotten(session, broker, stream, now):
            again = await _unmark(session, stream)
            telemetry.OUTBOX_REPUBLISHED.inc(again)
            _log.error("the broker has forgotten messages; publishing again", stream=stream, messages=again)
        await keep(session, stream, now)


async def _unmark(session: Session, stream: str) -> int:
    """In batches; how many messages that is."""
    total = 0
    while batch := (await session.execute(_UNMARK, {"stream": stream, "batch": _UNMARK_BATCH})).rowcount:
        total += batch
    return total


async def look(broker: Broker, stream: str) -> Look:
    """Looks at a stream, and makes it when it is not there."""
    while True:
        try:
            info = await broker.jetstream.stream_info(stream)
        except NotFoundError:
            await broker.ensure_streams()
            continue
        state = info.state
        holes = state.last_seq - state.first_seq + 1 - state.messages if state.messages else 0
        return Look(info.created, state.first_seq, holes, info.config.max_age or _FOR_EVER_SECONDS)


async def has_forgotten(session: Session, broker: Broker, stream: str, now: Look) -> bool:
    """Whether something is gone that the broker had acknowledged to this service."""
    seen = (await session.execute(_SEEN, {"stream": stream})).first()
    if seen and (seen.created != now.created or now.holes > seen.holes):
        return True
    if seen and now.first_seq > seen.first_seq and await _went_too_early(session, stream, seen, now):
        return True
    newest = (await session.execute(_NEWEST, {"stream": stream})).first()
    if newest is None or newest.stream_seq < now.first_seq:
        return False
    return not await has(broker, stream, newest.stream_seq, newest.message_id)


async def keep(session: Session, stream: str, now: Look) -> None:
    """Stores what was seen, once everything that had been forgotten is going to be published again."""
    row = {"stream": stream, "created": now.created, "first_seq": now.first_seq, "holes": now.holes}
    await session.execute(_KEEP, row)


async def _went_too_early(session: Session, stream: str, seen: Row, now: Look) -> bool:
    row = {
        "stream": stream,
        "seen_first": seen.first_seq,
        "first_seq": now.first_seq,
        "seconds": now.max_age - _AGE_MARGIN_SECONDS,
    }
    return (await session.execute(_GONE_TOO_EARLY, row)).first() is not None


async def has(broker: Broker, stream: str, seq: int, message_id: str) -> bool:
    """Whether the message under that number is there, and is that one."""
    try:
        found = await broker.jetstream.get_msg(stream, seq)
    except NotFoundError:
        return False
    return bool((found.headers or {}).get(ID_HEADER) == message_id)
