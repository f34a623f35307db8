"""A service's connections to PostgreSQL: few, made when needed, used again.

Who asks while the server is away is told at once. A pool that goes on trying in the background would have each caller
wait instead (docs/adr/0010-straight-to-the-driver.md).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row

Connection: TypeAlias = AsyncConnection[Any]

_PREPARED = 500  # more statements than any service has


class PoolExhausted(OperationalError):
    """All connections were in use for the whole time that a caller waits."""


class Pool:
    """At most `size` connections to `url`; a caller waits `patience` seconds for one of them."""

    def __init__(self, url: str, size: int, patience: float, settings: Mapping[str, Any]) -> None:
        self._url = url
        self._patience = patience
        self._settings = settings
        self._turns = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._is_closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction; what is left open in it is rolled back.

        Raises PoolExhausted, or psycopg.OperationalError when the server does not take the connection.
        """
        async with self._turn():
            connection = self._idle.pop() if self._idle else await self.connect()
            try:
                yield connection
            finally:
                await self._take_back(connection)

    async def connect(self) -> Connection:
        """A connection beside the pool, which the caller closes."""
        connection = await AsyncConnection.connect(self._url, row_factory=namedtuple_row, **self._settings)
        connection.prepared_max = _PREPARED
        return connection

    async def close(self) -> None:
        """Closes what is idle; what is in use is closed when it comes back."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError as fault:
            raise PoolExhausted from fault
        try:
            yield
        finally:
            self._turns.release()

    async def _take_back(self, connection: Connection) -> None:
        """Keeps the connection when it is as good as new, and closes it otherwise."""
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                with contextlib.suppress(Error):
                    await connection.rollback()
        finally:
            if self._is_closed or connection.info.transaction_status != TransactionStatus.IDLE:
                await connection.close()
            else:
                self._idle.append(connection)
