"""Notices: what one process of a service tells after a commit (`Transaction.tell`), all of its processes hear.

    commit ──tell──> gathered ──> NOTIFY, all at once ──> each process, this one too: `hearer(what it is about)`

A notice is a hint to look, and nothing stands in it but what to look at. It may be lost: with a process that dies after
its commit, or while a connection is broken. So the hearer is called with nothing, which means that anything may have
happened, whenever listening begins; and it looks by itself now and then.

NOTIFY stands in a transaction of its own, for commits that notify wait for each other, and on a disk nobody needs it.
"""

import asyncio
from collections.abc import Collection

from psycopg import Error as DatabaseError
from sqlalchemy import text

from petpro_common import telemetry
from petpro_common.db import Database, Listener
from petpro_common.seldom import Seldom

_RETRY_SECONDS = 0.5
_MOST_NAMED = 200  # of 36 characters: a notice has 8,000 bytes at most
_NOTIFY = text("SELECT set_config('synchronous_commit', 'off', true), pg_notify(:topic, :about)")


class Notices:
    """Notices about one topic, which is a name of the code.

    `sessions` is the same database without a pooler between, where there is one: LISTEN needs it.
    """

    def __init__(self, database: Database, sessions: Database, topic: str) -> None:
        self._database = database
        self._sessions = sessions
        self._topic = topic
        self._seldom = Seldom()
        self._told = asyncio.Event()
        self._about: set[str] | None = set()  # None: too much to be named
        database.listen(topic, self._gather)

    async def pass_on(self) -> None:
        """Tells all processes what this one tells, until cancelled. What is told meanwhile goes together, next."""
        while True:
            await self._told.wait()
            self._told.clear()
            about, self._about = self._about, set()
            try:
                await self._notify("" if about is None else ",".join(sorted(about)))
            except (DatabaseError, OSError) as fault:
                self._about = None
                self._told.set()
                await _rest(self._seldom, "notices wait", "notices", self._topic, fault)

    async def hear(self, hearer: Listener) -> None:
        """Calls `hearer` with what any process tells, until cancelled; with nothing when anything may have happened."""
        await hear(self._sessions, self._topic, "notices", hearer)

    async def _notify(self, about: str) -> None:
        async with self._database.reading() as tx:
            await tx.execute(_NOTIFY, {"topic": self._topic, "about": about})

    def _gather(self, about: Collection[str]) -> None:
        if self._about is not None:
            self._about |= set(about)
            if not about or len(self._about) > _MOST_NAMED:
                self._about = None
        self._told.set()


async def hear(sessions: Database, topic: str, task: str, hearer: Listener) -> None:
    """Calls `hearer` with what is notified of `topic`, until cancelled; with nothing whenever listening begins.

    A fault of the database is logged, counted as one of `task`, and listening begins again.
    """
    listen, seldom = text(f"LISTEN {topic}"), Seldom()
    while True:
        try:
            async with sessions.session() as session:
                await session.execute(listen)
                hearer(())
                async for about in session.notifications():
                    hearer(about.split(",") if about else ())
        except (DatabaseError, OSError) as fault:
            await _rest(seldom, "notices are listened to again", task, topic, fault)


async def _rest(seldom: Seldom, event: str, task: str, topic: str, fault: Exception) -> None:
    telemetry.BACKGROUND_FAILURES.labels(task).inc()
    seldom.warning(event, topic=topic, cause=type(fault).__name__)
    await asyncio.sleep(_RETRY_SECONDS)
