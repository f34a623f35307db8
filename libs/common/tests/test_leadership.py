"""Of several processes one leads, for as long as it lives."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from psycopg import OperationalError
from sqlalchemy import text

from devstack.testing import MakeDatabase
from petpro_common.db import Database
from petpro_common.leadership import Leadership
from petpro_common.testing import eventually

END_WHO_HAS_IT = text("""
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory'
""")


@pytest.fixture
async def pools(database: MakeDatabase) -> AsyncIterator[tuple[Database, Database]]:
    made = await database("notification")
    one, other = (Database(made.url, made.password) for _ in range(2))
    async with AsyncExitStack() as open_pools:
        for pool in (one, other):
            open_pools.push_async_callback(pool.close)
        yield one, other


async def test_the_next_has_it_once_it_is_given_up(pools: tuple[Database, Database]) -> None:
    async with Leadership(pools[1]) as other:
        async with Leadership(pools[0]) as one:
            assert await one.is_ours("sweep")
            assert await one.is_ours("sweep"), "it has it still"
            assert not await other.is_ours("sweep")
            assert await other.is_ours("mop"), "in another work another may lead"
        await eventually(lambda: other.is_ours("sweep"))


async def test_who_loses_the_connection_has_lost_it(pools: tuple[Database, Database]) -> None:
    async with Leadership(pools[0]) as one, Leadership(pools[1]) as other:
        assert await one.is_ours("sweep")
        async with pools[1].transaction() as tx:
            assert len((await tx.execute(END_WHO_HAS_IT)).all()) == 1
        while not await other.is_ours("sweep"):
            pass
        with pytest.raises(OperationalError):
            await one.is_ours("sweep")
        assert not await one.is_ours("sweep")
