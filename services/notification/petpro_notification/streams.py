"""The open streams of this process: what people are told is said to those who listen, wherever it was written.

    a replica commits ──notice──> each replica with a stream of one of these people looks, once for all of them
                                     ╰── and every few seconds, for notices may be lost

Invariants:

1. One look at a time, for all who listen. It goes from the place where the last one ended (`following`), so what
   commits is found by one of them, and by one alone.
2. A stream has begun when a look has ended that asked for its person too: what that look found was told before.
3. A stream holds no connection to the database, and what it has not said yet is bounded.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from psycopg import Error as DatabaseError

from petpro.notification.v1.notification_pb2 import StreamEndReason
from petpro.notification.v1.notification_pb2 import StreamEndReason as Reason
from petpro_common import tasks, telemetry
from petpro_common.db import Database, Row
from petpro_common.errors import Unavailable
from petpro_notification import store_streams
from petpro_notification.domain import TooManyStreams
from petpro_notification.following import Place, beginning, follow

MOST_UNSAID = 100
"""Notifications that a stream brings at once, or that wait for somebody who reads slowly."""
_LOOK_SECONDS = 5.0
_GATHER_SECONDS = 0.02  # between looks: what comes within is found together
_RETRY_SECONDS = 0.5
_BEGIN_SECONDS = 5.0

_log = structlog.get_logger()


class Stream:
    """What is still to be said to one who listens, and in the end, why nothing follows."""

    def __init__(self, user_id: UUID) -> None:
        self.user_id = user_id
        self.has_begun = False
        self.reason: StreamEndReason.ValueType | None = None
        """Why nothing follows when all is said that waits."""
        self._unsaid: deque[Row] = deque()
        self._woken = asyncio.Event()

    def say(self, row: Row) -> None:
        """Says it, unless so much waits already that the stream ends."""
        if len(self._unsaid) >= MOST_UNSAID:
            self.end(Reason.STREAM_END_REASON_TOO_MUCH_MISSED)
        elif self.reason is None:
            self._unsaid.append(row)
            self._woken.set()

    def end(self, reason: StreamEndReason.ValueType) -> None:
        """Ends it once all is said that waits. The first reason counts."""
        self.reason = reason if self.reason is None else self.reason
        self._woken.set()

    async def next(self, seconds: float) -> Row | None:
        """The next notification; None when there is none for so many seconds, or none follows."""
        if not self._unsaid and self.reason is None:
            self._woken.clear()
            await tasks.woken(self._woken, seconds)
        return self._unsaid.popleft() if self._unsaid else None


class Streams:
    """All open streams of this process; see the module."""

    def __init__(self, database: Database, most_of_a_person: int) -> None:
        self._database = database
        self._most_of_a_person = most_of_a_person
        self._of: dict[UUID, list[Stream]] = {}
        self._beginning: list[tuple[Stream, asyncio.Future[None]]] = []
        self._place: Place | None = None
        self._woken = asyncio.Event()
        self._is_closed = False
        self.looks = 0
        """How often it has looked at the database."""

    @asynccontextmanager
    async def open(self, user_id: UUID) -> AsyncIterator[Stream]:
        """What a person is told from now on. Raises TooManyStreams, and Unavailable when this process ends."""
        if self._is_closed:
            raise Unavailable
        if len(self._of.get(user_id, ())) >= self._most_of_a_person:
            raise TooManyStreams
        stream = Stream(user_id)
        self._of.setdefault(user_id, []).append(stream)
        try:
            await self._begin(stream)
            yield stream
        finally:
            self._of[user_id].remove(stream)
            if not self._of[user_id]:
                del self._of[user_id]

    def hear(self, user_ids: Collection[str]) -> None:
        """Has it look when one of these people listens here; when nobody is named, in any case."""
        if not user_ids or any(UUID(user_id) in self._of for user_id in user_ids):
            self._woken.set()

    def close(self) -> None:
        """Ends all streams: those who listen come back, to another replica."""
        self._is_closed = True
        for streams in self._of.values():
            for stream in streams:
                stream.end(Reason.STREAM_END_REASON_COME_BACK)

    async def run(self) -> None:
        """Looks until cancelled; a fault of the database is logged, and what was told meanwhile is found afterwards."""
        while True:
            await self._rest()
            try:
                await self._look()
                await asyncio.sleep(_GATHER_SECONDS)
            except (DatabaseError, OSError) as fault:
                telemetry.BACKGROUND_FAILURES.labels("streams").inc()
                _log.warning("streams look again", cause=type(fault).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _rest(self) -> None:
        await tasks.woken(self._woken, _LOOK_SECONDS if self._of else None)
        self._woken.clear()

    async def _begin(self, stream: Stream) -> None:
        begun = asyncio.get_running_loop().create_future()
        self._beginning.append((stream, begun))
        self._woken.set()
        async with asyncio.timeout(_BEGIN_SECONDS):
            await begun

    async def _look(self) -> None:
        beginners, self._beginning = self._beginning, []
        try:
            look = await self._read()
        except (DatabaseError, OSError) as fault:
            for _, begun in beginners:
                if not begun.done():
                    begun.set_exception(fault)
            raise
        for stream, begun in beginners:
            stream.has_begun = True
            if not begun.done():
                begun.set_result(None)
        for user_id in self._of.keys() & look.erased:
            for stream in self._of[user_id]:
                stream.end(Reason.STREAM_END_REASON_ACCOUNT_ERASED)

    async def _read(self) -> store_streams.Look:
        """Looks for all who listen, and says what is new to those who have begun."""
        self.looks += 1
        if not self._of:
            self._place = None
        async with self._database.reading() as tx:
            place = self._place or beginning(await store_streams.horizon(tx))
            look = await store_streams.look(tx, place.begins, self._of.keys())
        self._place, new = follow(place, look.found, look.horizon)
        for row in new:
            for stream in self._of.get(row.user_id, ()):
                if stream.has_begun:
                    stream.say(row)
        return look
