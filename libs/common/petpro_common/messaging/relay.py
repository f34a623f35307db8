"""The relay: brings the outbox to the broker, in order per aggregate, and again when the broker has forgotten.

One relay at a time publishes for a service: it holds an advisory lock on the very connection by which it reads and
marks the rows, so a relay that has lost the lock can no longer mark anything. It is woken after each commit that wrote
a message and looks by itself every second. A crash between publishing and marking publishes twice; the broker drops the
copy by its id, and where it does not, the consumer's inbox does.

Before it publishes on a new connection, and every few seconds, it looks whether the broker has forgotten something
(`memory`): its store was wiped, cut, damaged, or restored from an old copy. Then everything of that stream that the
outbox still holds is published again.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from itertools import groupby

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import NoStreamResponseError
from psycopg import Error as DatabaseError
from sqlalchemy import text

from petpro_common import kill_points, telemetry
from petpro_common.db import Database, Row, Session
from petpro_common.kill_points import Moment
from petpro_common.messaging import memory
from petpro_common.messaging.broker import REQUEST_SECONDS, Broker
from petpro_common.messaging.subjects import STREAMS

_BATCH = 256
_UNMARK_BATCH = 5_000
_POLL_SECONDS = 1.0
_MEMORY_CHECK_SECONDS = 5.0
_RETRY_SECONDS = 0.5
_LEADER_LOCK = 0x52454C4159  # "RELAY"

# PostgreSQL expects next to nothing unpublished, and would sort the whole backlog anew for each batch. Without sorts
# and bitmaps on this connection it walks the index in order, and a batch costs the same whatever is behind it.
_LEAD = text("""
    SELECT pg_try_advisory_lock(:lock),
        set_config('enable_sort', 'off', false) AS sort, set_config('enable_bitmapscan', 'off', false) AS bitmapscan
""")
_UNPUBLISHED = text("""
    SELECT id, message_id, subject, aggregate, headers, payload FROM outbox
    WHERE published_at IS NULL ORDER BY id LIMIT :batch
""")
_MARK = text("""
    UPDATE outbox SET published_at = clock_timestamp(), stream = acked.stream, stream_seq = acked.seq
    FROM unnest(CAST(:ids AS bigint[]), CAST(:streams AS text[]), CAST(:seqs AS bigint[])) AS acked(id, stream, seq)
    WHERE outbox.id = acked.id
""")
# Oldest first: what tells that the broker has forgotten goes last, so a crash in between is noticed again.
_UNMARK = text("""
    UPDATE outbox SET published_at = NULL, stream_seq = NULL WHERE id = ANY(ARRAY(
        SELECT id FROM outbox WHERE stream = :stream AND published_at IS NOT NULL ORDER BY stream_seq LIMIT :batch))
""")

_log = structlog.get_logger()

Acknowledged = tuple[int, str, int]


class Relay:
    """Publishes the outbox of one service; see the module."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker
        self._woken = asyncio.Event()
        database.on_messages.append(self._woken.set)

    async def run(self) -> None:
        """Runs until cancelled; a fault of database or broker is logged and tried again."""
        while True:
            await self._broker.until_connected()
            try:
                async with self._database.session() as session:
                    await self._lead(session)
            except (DatabaseError, NatsError, OSError, TimeoutError) as fault:
                telemetry.BACKGROUND_FAILURES.labels("relay").inc()
                _log.warning("relay tries again", cause=repr(fault))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _lead(self, session: Session) -> None:
        while not (await session.execute(_LEAD, {"lock": _LEADER_LOCK})).scalar():
            await asyncio.sleep(_POLL_SECONDS)
        checked_at, checked_connection = float("-inf"), -1
        clock = asyncio.get_running_loop().time
        while True:
            if not self._broker.is_connected:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if clock() - checked_at > _MEMORY_CHECK_SECONDS or checked_connection != self._broker.reconnects:
                checked_connection = self._broker.reconnects
                await self._republish_forgotten(session)
                checked_at = clock()
            self._woken.clear()
            if not await self._publish_round(session, checked_connection):
                await self._wait()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._woken.wait()

    async def _publish_round(self, session: Session, connected: int) -> bool:
        """Publishes one batch; whether there may be more to do at once. `connected`: when the memory was checked."""
        rows = (await session.execute(_UNPUBLISHED, {"batch": _BATCH})).all()
        if not rows:
            return False
        by_aggregate = sorted(rows, key=lambda row: (row.aggregate, row.id))
        lanes = [list(lane) for _, lane in groupby(by_aggregate, key=lambda row: row.aggregate)]
        acknowledged = [ack for lane in await asyncio.gather(*map(self._publish_lane, lanes)) for ack in lane]
        if self._broker.reconnects != connected:
            return True  # what the broker took before it went may be gone: after another look the round goes once more
        await self._mark(session, acknowledged)
        if len(acknowledged) < len(rows):
            await asyncio.sleep(_RETRY_SECONDS)
        return True

    async def _publish_lane(self, rows: Iterable[Row]) -> list[Acknowledged]:
        """Publishes one aggregate's messages one after the other, and stops at the first that fails."""
        done: list[Acknowledged] = []
        jetstream = self._broker.jetstream
        for row in rows:
            headers = {**row.headers, "Nats-Msg-Id": row.message_id}
            kill_points.reach(Moment.BEFORE_PUBLISH, row.subject)
            try:
                ack = await jetstream.publish(row.subject, bytes(row.payload), timeout=REQUEST_SECONDS, headers=headers)
            except NoStreamResponseError:
                await self._broker.ensure_streams()
                return done
            except (NatsError, OSError, TimeoutError) as fault:
                _log.warning("publish failed", subject=row.subject, message_id=row.message_id, cause=repr(fault))
                return done
            kill_points.reach(Moment.AFTER_PUBLISH, row.subject)
            if ack.duplicate and not await memory.has(self._broker, ack.stream, ack.seq, row.message_id):
                return done  # it lost the message and still knows the id: it takes no copy until that is forgotten too
            telemetry.MESSAGES_PUBLISHED.labels(ack.stream).inc()
            done.append((row.id, ack.stream, ack.seq))
        return done

    async def _mark(self, session: Session, acknowledged: Sequence[Acknowledged]) -> None:
        if acknowledged:
            ids, streams, seqs = (list(column) for column in zip(*acknowledged, strict=True))
            kill_points.reach(Moment.BEFORE_MARK, "relay")
            await session.execute(_MARK, {"ids": ids, "streams": streams, "seqs": seqs})
            kill_points.reach(Moment.AFTER_MARK, "relay")

    async def _republish_forgotten(self, session: Session) -> None:
        for stream in STREAMS:
            now = await memory.look(self._broker, stream)
            if await memory.has_forgotten(session, self._broker, stream, now):
                again = await self._unmark(session, stream)
                telemetry.OUTBOX_REPUBLISHED.inc(again)
                _log.error("the broker has forgotten messages; publishing again", stream=stream, messages=again)
            await memory.keep(session, stream, now)

    async def _unmark(self, session: Session, stream: str) -> int:
        """Has everything of a stream published again, in batches; how many messages that is."""
        total = 0
        while batch := (await session.execute(_UNMARK, {"stream": stream, "batch": _UNMARK_BATCH})).rowcount:
            total += batch
        return total
