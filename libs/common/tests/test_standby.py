"""A commit that waits for a standby: nobody may see it before, whoever goes away meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text

from devstack import testing
from devstack.testing import StartStack
from petpro_common.db import Database

_ADD = text("INSERT INTO dogs (name) VALUES ('Rex')")
_NAMES = text("SELECT name FROM dogs")


@pytest.fixture
async def superuser(start_own_stack: StartStack) -> AsyncIterator[tuple[psycopg.AsyncConnection, testing.Database]]:
    """Of a server of its own, with a database in it."""
    stack = start_own_stack(["postgres"])
    made = await testing.make_empty_database(stack, "booking", "booking_alone")
    url = testing.surroundings_of(stack).postgres.superuser_url()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection, made


async def test_who_goes_away_shows_nobody_what_no_standby_has(
    superuser: tuple[psycopg.AsyncConnection, testing.Database],
) -> None:
    connection, made = superuser
    database = Database(made.url, made.password)
    async with database.session() as session:
        await session.execute(text("CREATE TABLE dogs (name text)"))
    await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await connection.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)

    async def add() -> None:
        async with database.transaction() as tx:
            await tx.execute(_ADD)

    adding = asyncio.create_task(add())
    await asyncio.sleep(0.5)
    assert not adding.done()
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    async with database.reading() as reading:
        assert (await reading.execute(_NAMES)).scalars() == []

    await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(5):
        while True:
            async with database.reading() as reading:
                if (await reading.execute(_NAMES)).scalars() == ["Rex"]:
                    break
            await asyncio.sleep(0.05)
    await database.close()
