"""Connections that are given up before they are made: the server must not go on waiting for them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from devstack import testing
from devstack.running import RunningStack
from petpro_common.pool import NotConnected, Pool

_AT_ONCE_SECONDS = 15.0
"""For any machine; a server waits a minute for who authenticates."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
@pytest.mark.usefixtures("uncollected")
async def test_the_server_is_left_at_once_whoever_keeps_the_error(
    postgres_server: RunningStack, empty_database: testing.MakeDatabase, how: str
) -> None:
    """Every database of a server is held up by who authenticates anywhere on it: DROP DATABASE waits for all."""
    made, other = await empty_database("booking"), await empty_database("booking")
    async with _withheld(made.url) as (url, has_answered):
        pool = Pool(url, lambda: made.password, 1, 60, {"connect_timeout": 2})
        connecting = asyncio.create_task(pool.connect())
        await has_answered.wait()
        if how == "cancelled":
            connecting.cancel()
        [kept] = await asyncio.gather(connecting, return_exceptions=True)
        assert isinstance(kept, asyncio.CancelledError if how == "cancelled" else NotConnected)
        async with asyncio.timeout(_AT_ONCE_SECONDS):
            await testing.surroundings_of(postgres_server).postgres.drop_database(other.name)


@asynccontextmanager
async def _withheld(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to a server on which nothing comes back, though the server hears a client hang up; and whether it has
    answered, which it does in the midst of logging in."""
    to = conninfo_to_dict(url)
    has_answered = asyncio.Event()

    async def carry(asking: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answer, server = await asyncio.open_connection(str(to["host"]), int(str(to["port"])))
        server.write(await asking.read(1 << 16))
        await answer.read(1 << 16)
        has_answered.set()
        await asking.read()
        server.close()
        back.close()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield make_conninfo(url, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"), has_answered
