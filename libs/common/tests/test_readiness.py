"""A replica stays ready while callers queue for a slow database, and only then: not one that is away, or never was."""

from collections.abc import AsyncIterator

import pytest
from psycopg.conninfo import make_conninfo

from devstack import testing
from devstack.ports import free_port
from petpro_common import readiness
from petpro_common.db import Database
from petpro_common.readiness import Readiness

PACKAGE = "petpro_notification"


@pytest.fixture
async def made(database: testing.MakeDatabase) -> testing.Database:
    return await database("notification")


@pytest.fixture
async def pool_of_one(made: testing.Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(readiness, "_LONGEST_SECONDS", 1.0)
    opened = Database(made.url, made.password, pool_size=1)
    yield opened
    await opened.close()


def nowhere(made: testing.Database) -> Database:
    """The same at a port where nobody listens."""
    return Database(make_conninfo(made.url, port=free_port()), made.password)


async def test_it_stays_ready_while_callers_have_all_connections(pool_of_one: Database) -> None:
    ready = Readiness(pool_of_one, pool_of_one, PACKAGE)
    assert await ready.look()
    async with pool_of_one.transaction():
        assert await ready.look()
        assert pool_of_one.pool.waiting == 0
    assert await ready.look()


async def test_it_becomes_ready_only_by_the_way_that_callers_go(pool_of_one: Database) -> None:
    ready = Readiness(pool_of_one, pool_of_one, PACKAGE)
    async with pool_of_one.transaction():
        assert not await ready.look()
    assert await ready.look()


async def test_it_is_not_ready_when_the_server_does_not_answer_either(
    made: testing.Database, pool_of_one: Database
) -> None:
    ready = Readiness(pool_of_one, nowhere(made), PACKAGE)
    assert await ready.look()
    async with pool_of_one.transaction():
        assert not await ready.look()


async def test_a_pooler_that_is_away_is_told_though_the_server_answers(
    made: testing.Database, pool_of_one: Database
) -> None:
    assert not await Readiness(nowhere(made), pool_of_one, PACKAGE).look()
