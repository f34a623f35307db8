"""The relay: brings the outbox to the broker, in order per aggregate, and again when the broker has forgotten.

One relay at a time publishes for a service: it holds an advisory lock on the very connection by which it reads and
marks the rows, so a relay that has lost the lock can no longer mark anything. What its own process commits is handed to
it in memory, and published at once; it is marked a little later, many rows together. What other processes commit it
reads from the outbox: they notify it after their commits (`hear`), and it looks by itself every second.

Who leads and hears nothing from the broker for a while, though PostgreSQL is there, gives the lock up, and for some
seconds another may take it: the fault may be of this process's way to the broker alone. Without a connection to the
broker nobody asks for the lock.

Who is told to stop publishes what its process has committed until then, and marks it, before it gives the lock up: the
next would publish again what is not marked.

A message is handed over only when all that waits of its aggregate is known here, for then it is next: what another
process wrote, what failed, or what was handed over to a relay that died, goes first, and is read from the outbox in the
order of its numbers. A crash between publishing and marking publishes twice; the broker drops the copy by its id, and
where it does not, the consumer's inbox does.

Before it publishes on a new connection, and every few seconds, it looks whether the broker has forgotten something
(`data_loss`): its store was wiped, cut, damaged, or restored from an old copy. Then everything of that stream that the
outbox still holds is published again.
"""

import asyncio
from collections.abc import Collection, Sequence

from nats.errors import Error as NatsError
from psycopg import Error as DatabaseError
from sqlalchemy import text

from petpro_common import kill_points, notices, tasks, telemetry
from petpro_common.db import Database, Session
from petpro_common.kill_points import Moment
from petpro_common.messaging import data_loss
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.lanes import Acknowledged, Lanes, Waiting
from petpro_common.messaging.outbox import Outgoing
from petpro_common.messaging.subjects import STREAMS
from petpro_common.seldom import Seldom

_BATCH = 256
_POLL_SECONDS = 1.0
_MEMORY_CHECK_SECONDS = 5.0
_IDLE_SECONDS = 0.02  # with nothing to publish, before what was published is marked
_LONGEST_UNMARKED_SECONDS = 0.25
_MOST_HANDED = 5_000
_RETRY_SECONDS = 0.5
_LONGEST_AWAY_SECONDS = 5.0  # without a connection to the broker, before another may lead
_LONGEST_SILENT_SECONDS = 15.0  # with one, on which it answers nothing
_STANDS_BACK_SECONDS = 3.0  # so that each who follows has tried to lead
_LEADER_LOCK = 0x52454C4159  # "RELAY"

# PostgreSQL expects next to nothing unpublished, and would sort the whole backlog anew for each batch. Without sorts
# and bitmaps on this connection it walks the index in order, and a batch costs the same whatever is behind it. What was
# published is joined by hash: in nested loops `_MARK` would compare each row with all others.
_LEAD = text("""
    SELECT pg_try_advisory_lock(:lock),
        set_config('enable_sort', 'off', false) AS sort, set_config('enable_bitmapscan', 'off', false) AS bitmapscan,
        set_config('enable_hashjoin', 'on', false) AS hashjoin, set_config('enable_nestloop', 'off', false) AS nestloop
""")
# Beside the transaction that wrote: commits that notify would wait for each other.
_TELL = text("SELECT pg_notify('outbox', '')")
_UNPUBLISHED = text("""
    SELECT id, message_id, subject, aggregate, headers, payload FROM outbox
    WHERE published_at IS NULL ORDER BY id LIMIT :batch
""")
# Where one stream takes nothing it must not keep back the others. All messages of an aggregate are for one stream.
_OF_EACH_STREAM = text("""
    SELECT waiting.* FROM unnest(CAST(:prefixes AS text[])) AS stream(name) CROSS JOIN LATERAL (
        SELECT * FROM outbox WHERE published_at IS NULL AND starts_with(subject, name) ORDER BY id LIMIT :batch) waiting
""")
_MARK = text("""
    UPDATE outbox SET published_at = clock_timestamp(), stream = acked.stream, stream_seq = acked.seq
    FROM unnest(CAST(:ids AS bigint[]), CAST(:streams AS text[]), CAST(:seqs AS bigint[])) AS acked(id, stream, seq)
    WHERE outbox.id = acked.id AND outbox.id = ANY(CAST(:ids AS bigint[]))
""")


class Relay:
    """Publishes the outbox of one service; see the module.

    `sessions` is the same database without a pooler between, where there is one: locks of sessions and LISTEN need it.
    """

    def __init__(self, database: Database, broker: Broker, sessions: Database | None = None) -> None:
        self._sessions = sessions or database
        self._broker = broker
        self._lanes = Lanes(broker)
        self._seldom = Seldom()
        self._woken = asyncio.Event()
        self._draining = asyncio.Event()
        self._handed: list[Waiting] = []
        self._known: set[int] = set()  # what was handed over, and what was published and is not marked yet
        self._acknowledged: list[Acknowledged] = []
        self._connection = -1  # on which the memory was checked
        self._must_look = True
        self._is_leading = self._has_failed = False
        self._marked_at = self._looked_at = self._checked_at = self._answered_at = self._may_lead_at = float("-inf")
        database.on_messages.append(self._take_over)

    def drain(self) -> None:
        """Publishes what was committed until now: then `run` returns."""
        self._draining.set()
        self._woken.set()

    async def run(self) -> None:
        """Runs until drained or cancelled; a fault of database or broker is logged and tried again."""
        if not self._broker.is_connected:
            await tasks.first_of(self._broker.until_connected(), self._draining.wait())
        while not self._draining.is_set():
            try:
                async with self._sessions.session() as session:
                    await self._lead(session)
            except (DatabaseError, NatsError, OSError, TimeoutError) as fault:
                telemetry.BACKGROUND_FAILURES.labels("relay").inc()
                self._seldom.warning("relay tries again", cause=type(fault).__name__)
                if not isinstance(fault, DatabaseError):
                    self._may_lead_at = _now() + _STANDS_BACK_SECONDS
                await asyncio.sleep(_RETRY_SECONDS)

    async def hear(self) -> None:
        """Has the relay look when another process has written something, until cancelled."""
        await notices.hear(self._sessions, "outbox", "relay", self._look_soon)

    async def _lead(self, session: Session) -> None:
        """Raises TimeoutError when the broker has been silent for so long that another should lead."""
        await self._follow(session)
        if self._draining.is_set():
            return
        self._forget()
        self._is_leading, self._answered_at = True, _now()
        try:
            while not self._is_cut_off():
                await self._turn(session)
                if self._draining.is_set():
                    await self._finish(session)
                    return
            raise TimeoutError
        finally:
            self._is_leading = False
            self._forget()

    async def _follow(self, session: Session) -> None:
        """Until it leads, or is drained: tells who does of what this process has committed."""
        while not (self._draining.is_set() or await self._leads(session)):
            tried_at = _now()
            while _now() - tried_at < _POLL_SECONDS and not self._draining.is_set():
                if await tasks.woken(self._woken, _POLL_SECONDS):
                    self._woken.clear()
                    await session.execute(_TELL)

    async def _leads(self, session: Session) -> bool:
        return self._may_lead() and bool((await session.execute(_LEAD, {"lock": _LEADER_LOCK})).scalar())

    def _may_lead(self) -> bool:
        return self._broker.is_connected and _now() >= self._may_lead_at

    def _is_cut_off(self) -> bool:
        if self._broker.is_connected and not self._has_failed:
            self._answered_at = _now()
        longest = _LONGEST_SILENT_SECONDS if self._broker.is_connected else _LONGEST_AWAY_SECONDS
        return _now() - max(self._answered_at, self._lanes.answered_at) > longest

    async def _turn(self, session: Session) -> None:
        if not self._broker.is_connected:
            self._forget()
            await asyncio.sleep(_RETRY_SECONDS)
            return
        if _now() - self._checked_at > _MEMORY_CHECK_SECONDS or self._is_new_connection():
            await self._check(session)
        self._woken.clear()
        if self._must_look or _now() - self._looked_at > _POLL_SECONDS:
            await self._mark(session)
            await self._look(session)
        elif self._handed:
            await self._publish_handed(session)
        else:
            await self._rest(session)

    async def _finish(self, session: Session) -> None:
        """Publishes and marks what is left, one batch at most of what was not handed over."""
        if not self._broker.is_connected or self._is_new_connection():
            return
        if self._must_look:
            await self._mark(session)
            await self._look(session)
        else:
            await self._publish_handed(session)
        await self._mark(session)

    async def _publish_handed(self, session: Session) -> None:
        handed, self._handed = self._handed, []
        await self._publish(handed)
        if len(self._acknowledged) >= _BATCH or _now() - self._marked_at > _LONGEST_UNMARKED_SECONDS:
            await self._mark(session)

    async def _rest(self, session: Session) -> None:
        """Waits for something to do; what was published is marked meanwhile."""
        if self._acknowledged:
            if not await tasks.woken(self._woken, _IDLE_SECONDS):
                await self._mark(session)
        elif not await tasks.woken(self._woken, _POLL_SECONDS):
            self._must_look = True

    def _take_over(self, messages: Sequence[Outgoing]) -> None:
        """Takes what this process has committed, where all that must leave before it is known here."""
        takes = self._is_leading and self._broker.is_connected
        for message in messages:
            is_next = message.before is not None and self._known.issuperset(message.before)
            if not takes or not is_next or len(self._handed) >= _MOST_HANDED:
                self._must_look = True
            elif message.id not in self._known:
                self._known.add(message.id)
                self._handed.append(message)
        asyncio.get_running_loop().call_soon(self._woken.set)  # whoever waits for the commit goes on first

    def _look_soon(self, _: Collection[str]) -> None:
        """Who does not lead hears what it has told itself, and must not tell it again."""
        self._must_look = True
        if self._is_leading:
            self._woken.set()

    def _forget(self) -> None:
        """Knows nothing more than the outbox."""
        self._handed, self._acknowledged, self._must_look = [], [], True
        self._known.clear()

    def _is_new_connection(self) -> bool:
        return self._broker.reconnects != self._connection

    async def _check(self, session: Session) -> None:
        """Looks whether the broker has forgotten something; what it took is marked before, so that it is looked for."""
        await self._mark(session)
        self._connection = self._broker.reconnects
        await data_loss.republish_forgotten(session, self._broker)
        self._checked_at = _now()

    async def _look(self, session: Session) -> None:
        """Publishes one batch of what waits in the outbox, in place of what was handed over."""
        self._forget()
        self._must_look = False
        values = {"batch": _BATCH, "prefixes": [subjects.removesuffix(">") for subjects in STREAMS.values()]}
        rows = (await session.execute(_OF_EACH_STREAM if self._has_failed else _UNPUBLISHED, values)).all()
        self._looked_at = _now()
        self._must_look |= len(rows) >= _BATCH
        found = {row.id for row in rows}
        self._handed = [message for message in self._handed if message.id not in found]
        self._known |= found
        await self._publish(rows)

    async def _publish(self, rows: Sequence[Waiting]) -> None:
        """Publishes. After a failure it is for the outbox to say what comes next."""
        acknowledged = await self._lanes.publish(rows)
        self._acknowledged += acknowledged
        self._has_failed = len(acknowledged) < len(rows)
        if self._has_failed:
            self._handed, self._must_look = [], True
            self._known = {number for number, _, _ in self._acknowledged}
            await asyncio.sleep(_RETRY_SECONDS)

    async def _mark(self, session: Session) -> None:
        """Marks what was published. What the broker took before the connection broke may be gone: it is not marked."""
        self._marked_at = _now()
        acknowledged, self._acknowledged = self._acknowledged, []
        if self._is_new_connection():
            self._forget()
        elif acknowledged:
            ids, streams, seqs = (list(column) for column in zip(*acknowledged, strict=True))
            kill_points.reach(Moment.BEFORE_MARK, "relay")
            await session.execute(_MARK, {"ids": ids, "streams": streams, "seqs": seqs})
            kill_points.reach(Moment.AFTER_MARK, "relay")
            self._known.difference_update(ids)


def _now() -> float:
    return asyncio.get_running_loop().time()
