"""A commit that waits for a standby: nobody may see it before, whoever goes away meanwhile, and few may wait so."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from devstack import testing
from devstack.running import RunningStack
from devstack.testing import StartStack
from libs.common.tests.messaging.desk import Desk, discard, redrive, refusal, shown
from petpro.messaging.v1 import messages_pb2
from petpro_common import errors, pool, statuses, wire
from petpro_common.db import Database
from petpro_common.messaging import parked
from petpro_common.messaging.backlog import Backlog
from petpro_common.pool import CommitsWait
from petpro_common.saga import SagaEngine
from petpro_common.saga.census import Census
from petpro_common.testing import KeyRing, eventually

_ADD = text("INSERT INTO dogs (name) VALUES ('Rex')")
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_NAMES = text("SELECT name FROM dogs")
_POOL_SIZE = 3
_CONNECTIONS = (
    "SELECT count(*), count(*) FILTER (WHERE wait_event = 'SyncRep') FROM pg_stat_activity WHERE usename = %s"
)


@pytest.fixture(scope="module")
def server(start_own_stack: StartStack) -> RunningStack:
    """Of its own: what it waits for is said for all of its databases."""
    return start_own_stack(["postgres"])


@pytest.fixture
async def superuser(server: RunningStack) -> AsyncIterator[psycopg.AsyncConnection]:
    url = testing.surroundings_of(server).postgres.superuser_url()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection
        await wait_for_standby(connection, "")


@pytest.fixture
async def database(
    server: RunningStack, superuser: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """Its commits wait for a standby that is not there."""
    made = await testing.make_database(server, "booking", f"booking_{uuid4().hex}")
    monkeypatch.setattr(wire, "_GIVE_UP_SECONDS", 0.2)
    opened = Database(made.url, made.password, _POOL_SIZE)
    async with opened.session() as session:
        await session.execute(text("CREATE TABLE dogs (name text)"))
    await wait_for_standby(superuser, "nobody")
    yield opened
    await opened.close()


async def wait_for_standby(connection: psycopg.AsyncConnection, name: str) -> None:
    await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await connection.execute("SELECT pg_reload_conf()")
    await eventually(lambda: is_asked_for(connection.info.dsn, connection.info.password, name))
    await connection.execute("CHECKPOINT")  # who makes it tells all others whether commits have to wait


async def is_asked_for(dsn: str, password: str, name: str) -> bool:
    """A new connection knows what the server has read of its settings."""
    async with await psycopg.AsyncConnection.connect(dsn, password=password) as connection:
        cursor = await connection.execute("SHOW synchronous_standby_names")
        return await cursor.fetchone() == (name,)


async def add(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(_ADD)


async def add_and_go_away(database: Database, superuser: psycopg.AsyncConnection, dogs: int = 1) -> None:
    async def commits_wait() -> bool:
        found = await (await superuser.execute(_WAITING)).fetchone()
        return found == (min(dogs, _POOL_SIZE),)

    adding = [asyncio.create_task(add(database)) for _ in range(dogs)]
    await eventually(commits_wait)
    for each in adding:
        assert not each.done()
        each.cancel()
    gone = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(each) for each in gone] == [asyncio.CancelledError] * dogs


async def refused(database: Database) -> None:
    """Adding a dog, at once."""
    with pytest.raises(CommitsWait) as raised:
        async with asyncio.timeout(20):
            await add(database)
    told = statuses.as_typed(raised.value)
    assert (type(told), told.retry_after) == (errors.Unavailable, timedelta(seconds=1))


async def are_there(database: Database, dogs: int) -> bool:
    return await names(database) == ["Rex"] * dogs


async def names(database: Database) -> list[str]:
    async with database.reading() as reading:
        return (await reading.execute(_NAMES)).scalars()


async def test_who_goes_away_shows_nobody_what_no_standby_has(
    database: Database, superuser: psycopg.AsyncConnection
) -> None:
    await add_and_go_away(database, superuser)
    assert await names(database) == []

    await wait_for_standby(superuser, "")
    await eventually(lambda: are_there(database, 1))


async def test_no_more_commits_wait_than_the_pool_has_connections(
    database: Database, superuser: psycopg.AsyncConnection
) -> None:
    await add_and_go_away(database, superuser, dogs=_POOL_SIZE * 2)
    for _ in range(_POOL_SIZE):
        await asyncio.gather(*(refused(database) for _ in range(_POOL_SIZE)))
    role = text("SELECT current_user")
    async with database.reading() as reading:
        who = (await reading.execute(role)).scalar_one()
    found = await (await superuser.execute(_CONNECTIONS, [who])).fetchone()
    assert found == (_POOL_SIZE + 1, _POOL_SIZE)  # and one that reads
    assert database.pool.committing == _POOL_SIZE
    assert await names(database) == []

    await wait_for_standby(superuser, "")
    await eventually(lambda: database.pool.committing == 0)
    await add(database)
    assert await names(database) == ["Rex"] * (_POOL_SIZE + 1)


async def test_who_only_looks_is_answered_while_commits_wait(
    database: Database, superuser: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    await add_and_go_away(database, superuser, dogs=_POOL_SIZE)
    await refused(database)
    await Backlog(database, 10).look()
    await parked.look(database)
    await Census(database).look()
    await SagaEngine(database, [], {})._require_definitions()

    desk = Desk(database, KeyRing(tmp_path))
    async with desk.stack:
        stub = await desk.served()
        asked = messages_pb2.ListParkedMessagesRequest(service="booking")
        assert not (await stub.ListParkedMessages(asked, metadata=desk.signed_in())).messages
        assert await refusal(shown(desk, stub, 1)) == "PARKED_MESSAGE_NOT_FOUND"
        assert await redrive(desk, stub, subject="evt.", dry_run=True) == []
        assert await discard(desk, stub, subject="evt.", dry_run=True) == []


async def test_a_commit_is_waited_for_as_long_as_the_server_says_that_it_waits(
    database: Database, superuser: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def counted() -> wire.Wire:
        nonlocal looks
        looks += 1
        return await connect()

    connect = database.pool.connect
    monkeypatch.setattr(pool, "_LOOK_SECONDS", 0.1)
    await add_and_go_away(database, superuser)
    monkeypatch.setattr(database.pool, "connect", counted)
    await eventually(lambda: looks > 3)
    assert database.pool.committing == 1

    await wait_for_standby(superuser, "")
    await eventually(lambda: database.pool.committing == 0)
    assert await names(database) == ["Rex"]


async def test_a_pool_that_is_closed_waits_for_no_standby(
    database: Database, superuser: psycopg.AsyncConnection
) -> None:
    await add_and_go_away(database, superuser)
    async with asyncio.timeout(20):
        await database.close()
    assert database.pool.committing == 0
