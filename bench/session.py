"""What a client process holds open: connections, and an eye on which sagas have ended."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

import psycopg

from bench.wire import CallFailed, Connection, Headers, connect

_CALLERS_A_CONNECTION = 16
_PAUSE_SECONDS = 0.001
_PAUSE_SHARE = 0.02  # of the shortest saga so far: what is measured to a millisecond when short need not be when long
_BLIND_SHARE = 0.6  # of the shortest saga so far: no other is looked for before it is so old
_PLANNED_ONCE = "-c plan_cache_mode=force_generic_plan"  # to plan a look takes PostgreSQL six times as long as to look
_ENDED = """
    SELECT business_key, status FROM sagas
    WHERE business_key = ANY(%(keys)s) AND status IN ('completed', 'compensated', 'parked')
"""


class Session:
    """Of one client process; used as a context."""

    def __init__(self, callers: int) -> None:
        self._room = max(1, -(-callers // _CALLERS_A_CONNECTION))
        self._connections: dict[str, asyncio.Task[list[Connection]]] = {}
        self._turn = 0
        self._sagas = _Sagas()
        self._open_things = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._open_things.push_async_callback(self._sagas.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for opening in self._connections.values():
            for connection in await opening:
                connection.close()
        await self._open_things.aclose()

    async def call(self, address: str, headers: Headers, body: bytes, own: Headers = ()) -> bytes:
        """One call over one of the connections in turn; the body of its answer. Raises CallFailed."""
        if address not in self._connections:
            self._connections[address] = asyncio.create_task(self._connect(address))
        opening = self._connections[address]
        connections = opening.result() if opening.done() else await opening
        self._turn += 1
        reply = await connections[self._turn % self._room].call(headers, body, own)
        if not reply.ok:
            raise CallFailed(reply.end.decode("ascii", "replace") + reply.body.decode("utf-8", "replace"))
        return reply.body

    async def _connect(self, address: str) -> list[Connection]:
        return list(await asyncio.gather(*(connect(address) for _ in range(self._room))))

    async def saga_end(self, dsn: str, key: str) -> str:
        """Waits until the saga of that business key has ended; how it ended."""
        return await self._sagas.end_of(dsn, key)


class _Sagas:
    """Looks into booking's database for sagas that may have ended, by how long the shortest of them took."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, asyncio.Future[str]]] = {}  # since when, in the order of asking
        self._shortest = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def end_of(self, dsn: str, key: str) -> str:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (time.monotonic(), ended)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(dsn))
            self._looking.add_done_callback(self._fail_all)
        return await ended

    def _fail_all(self, looking: asyncio.Task[None]) -> None:
        for _, ended in self._waiting.values():
            ended.set_exception(RuntimeError(f"cannot look at sagas any more: {looking!r}"))

    async def _look(self, dsn: str) -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=_PLANNED_ONCE) as connection:
            while True:
                old_enough = time.monotonic() - _BLIND_SHARE * self._shortest
                if keys := [key for key, (since, _) in self._waiting.items() if since <= old_enough]:
                    cursor = await connection.execute(_ENDED, {"keys": keys}, prepare=True)
                    self._tell(await cursor.fetchall())
                await asyncio.sleep(_PAUSE_SECONDS + _PAUSE_SHARE * self._shortest)

    def _tell(self, seen: Iterable[tuple[str, str]]) -> None:
        for key, status in seen:
            since, ended = self._waiting.pop(key)
            took = time.monotonic() - since
            self._shortest = min(self._shortest or took, took)
            ended.set_result(status)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
