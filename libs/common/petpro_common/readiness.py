"""Whether a service's database answers and has what the code needs.

Usually that is asked as callers ask, through the pool. When callers have all of its connections, or all of a pooler's,
a database that is slow would look like one that is away, and to every replica at once: the gateway would have nowhere
to go with any call, not even with those that need nothing of what is slow. So a replica that has been ready then asks
the server itself, past all queues, on a connection made for it, and stays ready when that is answered.
"""

import asyncio
from contextlib import AbstractAsyncContextManager

from psycopg import Error as DatabaseError

from petpro_common import faults, versions
from petpro_common.db import Database, Session
from petpro_common.pool import PoolExhausted
from petpro_common.seldom import Seldom

_LONGEST_SECONDS = 3.0


class Readiness:
    """Looks for the tables that `package` needs in `database`; `sessions` is the same without a pooler between."""

    def __init__(self, database: Database, sessions: Database, package: str) -> None:
        self._database = database
        self._sessions = sessions
        self._package = package
        self._has_been = False
        self._seldom = Seldom()

    async def look(self) -> bool:
        """Whether the database is ready, within six seconds or some more; of a fault the log tells."""
        try:
            is_ready = await self._is_ready()
        except (DatabaseError, OSError, TimeoutError) as fault:
            self._seldom.warning("database is not ready", cause=faults.told(fault))
            return False
        self._has_been |= is_ready
        return is_ready

    async def _is_ready(self) -> bool:
        try:
            return await self._ask(self._database.reading())
        except (PoolExhausted, TimeoutError):
            if not self._has_been:
                raise
            return await self._ask(self._sessions.session())

    async def _ask(self, opened: AbstractAsyncContextManager[Session]) -> bool:
        async with asyncio.timeout(_LONGEST_SECONDS), opened as session:
            return await versions.is_migrated(session, self._package)
