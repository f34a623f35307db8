"""A service's connections to PostgreSQL: few, made when needed, used again.

Who asks while the server is away is told at once. A pool that goes on trying in the background would have each caller
wait instead (docs/adr/0010-straight-to-the-driver.md).

A commit that waits for a standby cannot be called back. When its caller goes away the connection is kept open beside
the others until the server answers, and with callers or without there are never more than `size` that may commit. A
server that is stopped, and whose place another has taken, never answers: so the one that is there is asked now and then
whether anything still commits.

The password is asked for with each connection, since it may be changed at any time. One that is refused may be ahead of
the server: then the last that was taken is tried too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from traceback import clear_frames
from typing import Any

from psycopg import AsyncConnection, Error, OperationalError
from sqlalchemy import text

from petpro_common import tasks
from petpro_common.faults import OwnWords
from petpro_common.wire import Wire

_LOOK_SECONDS = 30.0
# Of the whole role: what a pooler calls a connection tells nothing of who works for it at the server.
_STILL_AT_WORK = text("""
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = current_user AND state = 'active'
        AND xact_start < statement_timestamp() - make_interval(secs => :seconds))
""")
_ROLL_BACK = (text("ROLLBACK"), dict[str, Any]())


class PoolExhausted(OperationalError):
    """All connections were in use for the whole time that a caller waits."""


class CommitsWait(OperationalError):
    """So many commits wait for a standby, their callers gone, that no more transactions are begun."""


class NotConnected(OwnWords, OperationalError):
    """The server does not take the connection. Its words name a place, a role and a database, and nobody's data."""


class Pool:
    """At most `size` connections to `url` in use; a caller waits `patience` seconds for one of them."""

    def __init__(
        self, url: str, password: Callable[[], str], size: int, patience: float, settings: Mapping[str, Any]
    ) -> None:
        self._url = url
        self._password = password
        self._taken = ""
        """The password that the server took the last time."""
        self._patience = patience
        self._settings = settings
        self._size = size
        self._turns = asyncio.Semaphore(size)
        self._idle: list[Wire] = []
        self._left: set[asyncio.Task[None]] = set()
        self._giving_up: asyncio.Task[None] | None = None
        self._is_closed = False
        self.in_use = 0
        """How many connections are in somebody's hands."""
        self.waiting = 0
        """How many callers wait for one."""

    @property
    def idle(self) -> int:
        """How many connections are open and not in use."""
        return len(self._idle)

    @property
    def committing(self) -> int:
        """How many connections wait for the end of a commit whose caller has gone; they are not in use."""
        return len(self._left)

    @asynccontextmanager
    async def wire(self, *, may_commit: bool) -> AsyncIterator[Wire]:
        """A connection without a transaction; what is left open in it is rolled back.

        Raises PoolExhausted, CommitsWait or NotConnected.
        """
        async with self._turn():
            if may_commit and self.in_use + self.committing > self._size:
                raise CommitsWait
            wire = await self._sound()
            try:
                yield wire
            finally:
                await self._take_back(wire)

    async def connect(self) -> Wire:
        """A connection beside the pool, which the caller closes. Raises NotConnected."""
        password = self._password()
        try:
            wire = await self._connect(password)
        except NotConnected:
            if self._taken in ("", password):
                raise
            return await self._connect(self._taken)
        self._taken = password
        return wire

    async def _connect(self, password: str) -> Wire:
        """One that is given up half made is closed at once.

        psycopg leaves it in the frames of the error, which is often part of a cycle: it would take a place at the
        server until garbage is collected.
        """
        opening = AsyncConnection.connect(self._url, password=password, autocommit=True, **self._settings)
        try:
            return Wire(await opening)
        except BaseException as fault:
            clear_frames(fault.__traceback__)
            if isinstance(fault, OperationalError):
                raise NotConnected(" ".join(str(fault).split())) from fault
            raise

    async def close(self) -> None:
        """Closes what is idle and what commits for nobody; what is in use is closed when it comes back."""
        self._is_closed = True
        if self._giving_up:
            await tasks.end({self._giving_up})
        await tasks.end(self._left)
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._turns.locked():
            await self._wait()
        else:
            await self._turns.acquire()
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1
            self._turns.release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError as fault:
            raise PoolExhausted from fault
        finally:
            self.waiting -= 1

    async def _sound(self) -> Wire:
        """One that is idle, or else a new one; those that the server has closed meanwhile are passed over."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_sound:
                return wire
            await wire.close()
        return await self.connect()

    async def _take_back(self, wire: Wire) -> None:
        """Keeps the connection when it is as good as new, and closes it otherwise: what commits once it is answered."""
        try:
            if wire.is_sound and wire.is_in_transaction:
                with contextlib.suppress(Error):
                    await wire.run(wire.calls([_ROLL_BACK]))
        finally:
            if wire.is_committing and not self._is_closed:
                self._leave(wire)
            elif self._is_closed or not wire.is_sound or wire.is_in_transaction:
                await wire.close()
            else:
                self._idle.append(wire)

    def _leave(self, wire: Wire) -> None:
        left = asyncio.create_task(_close_when_answered(wire))
        self._left.add(left)
        left.add_done_callback(self._left.discard)
        if self._giving_up is None or self._giving_up.done():
            self._giving_up = asyncio.create_task(self._give_up())

    async def _give_up(self) -> None:
        """Until none is left: closes those to which no commit belongs any more, at the server that is there now."""
        while self._left:
            left = set(self._left)
            await asyncio.sleep(_LOOK_SECONDS)
            if not await self._is_any_at_work():
                for each in left:
                    each.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    async def _is_any_at_work(self) -> bool:
        """Whether something takes so long that it may be a commit of one who has gone, or nobody knows."""
        try:
            wire = await self.connect()
            try:
                [rows] = await wire.run(wire.calls([(_STILL_AT_WORK, {"seconds": _LOOK_SECONDS})]))
            finally:
                await wire.close()
        except Error:
            return True
        return bool(rows.scalar_one())


async def _close_when_answered(wire: Wire) -> None:
    try:
        with contextlib.suppress(Error):
            await wire.answered()
    finally:
        await wire.close()
