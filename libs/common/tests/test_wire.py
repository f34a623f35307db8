"""One connection: what goes out together, what fails in the middle, and what is left when a caller goes away."""

import asyncio
import os
import signal
import socket
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from psycopg import DataError, OperationalError
from psycopg.errors import CheckViolation, FeatureNotSupported, InFailedSqlTransaction, UniqueViolation
from psycopg.types.json import Jsonb
from sqlalchemy import text

from libs.common.tests.dogs import ADD, ADD_MANY, NAMES, add, names, open_kennel
from petpro_common.db import Database, Session
from petpro_common.ids import new_id
from petpro_common.testing.running import MakeDatabase, eventually

_ALL = text("SELECT * FROM dogs")
_OWN = text("SELECT pg_backend_pid()")
_END = text("SELECT pg_terminate_backend(:pid)")
_WAIT_FOR_US = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'
""")
_LISTENS = text("SELECT FROM pg_stat_activity WHERE pid = :pid AND query = 'LISTEN dogs' AND state = 'idle'")
_WAIT = text("SELECT pg_sleep(:seconds)")


@pytest.fixture
async def database(database_of: MakeDatabase) -> Database:
    return await open_kennel(database_of)


async def test_what_goes_out_together_comes_back_in_order(database: Database) -> None:
    async with database.transaction() as tx:
        added, found, none = await tx.execute_all(
            [(ADD, {"name": "Rex"}), (NAMES, {}), (text("SELECT 1 WHERE false"), {})]
        )
        assert (added.rowcount, found.one().name, none.first()) == (1, "Rex", None)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["Rex", None, "", 'Bo, "the" {Cat}\n\\ é']),
        ("uuid", [new_id(), None]),
        ("bytea", [b"", b"\x00\xff", None]),
        ("bigint", [1, None, 1 << 40]),
        ("integer", [1, None]),
        ("numeric", [Decimal("75000.00"), None, Decimal("-0.01")]),
        ("timestamptz", [datetime(2026, 11, 26, 12, 30, 0, 250_001, tzinfo=UTC), None]),
        ("text", ['{"reason": "no \\"dogs\\"\\n"}', "\\n", "\\\n"]),
        ("jsonb", [{"name": "Rex"}]),
        ("text", [None, None]),
        ("text", []),
        ("text", [["Rex", None], ["Bo", "Cat"]]),
    ],
)
async def test_lists_come_back_as_they_were(database: Database, kind: str, values: list[object]) -> None:
    same = text(f"SELECT CAST(:values AS {kind}[]) AS same")
    given = [Jsonb(value) for value in values] if kind == "jsonb" else values
    async with database.reading() as tx:
        assert (await tx.execute(same, {"values": given})).scalar() == values


async def test_what_is_a_list_in_one_call_may_be_nothing_in_the_next(database: Database) -> None:
    how_many = text("SELECT cardinality(CAST(:values AS text[])) AS number")
    async with database.reading() as tx:
        assert [(await tx.execute(how_many, {"values": values})).scalar() for values in (["Rex"], None)] == [1, None]


async def test_what_stands_behind_a_failure_has_not_run(database: Database) -> None:
    with pytest.raises(CheckViolation):
        async with database.transaction() as tx:
            await add(tx, "Rex", "cat", "Bo")
    assert await names(database) == []
    async with database.transaction() as tx:  # the same statement again, on the same connection
        await add(tx, "Rex", "Bo")
    assert await names(database) == ["Bo", "Rex"]


async def test_a_failed_statement_cannot_be_committed_over(database: Database) -> None:
    async def commit_over_a_failure() -> None:
        async with database.transaction() as tx:
            await add(tx, "Rex")
            with pytest.raises(UniqueViolation):
                await add(tx, "Rex")

    with pytest.raises(InFailedSqlTransaction):
        await commit_over_a_failure()
    assert await names(database) == []


async def test_a_value_that_cannot_be_stored_leaves_the_transaction_as_it_was(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(DataError, match="NUL"):
            await add(tx, "Re\0x")
        await add(tx, "Rex")
        raised = tx
    assert await names(database) == ["Rex"]
    assert raised.messages == []


async def test_large_values_both_ways(database: Database) -> None:
    dogs = [f"{number:06}" + "x" * 4000 for number in range(1500)]
    async with database.transaction() as tx:
        await tx.execute(ADD_MANY, {"names": dogs})
    assert await names(database) == dogs


async def test_when_the_caller_goes_away_the_server_stops_and_the_connection_is_used_again(database: Database) -> None:
    waiters: set[int] = set()

    async def wait() -> None:
        async with database.transaction() as tx:
            await add(tx, "Rex")
            waiters.add((await tx.execute(_OWN)).scalar_one())
            await tx.execute(_WAIT, {"seconds": 5.0})

    async with database.session() as beside:
        for _ in range(5):
            waiting = asyncio.create_task(wait())
            while not (await beside.execute(_WAIT_FOR_US)).scalar_one():
                await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not (await beside.execute(_WAIT_FOR_US)).scalar_one(), "it was told to stop, and has"
    assert await names(database) == []
    assert len(waiters) == 1, "the next had the connection of the one before"


async def test_a_connection_that_the_server_has_closed_is_not_used_again(database: Database) -> None:
    async def lose_it_in_the_middle() -> None:
        async with database.session() as killer, database.transaction() as tx:
            own = (await tx.execute(_OWN)).scalar_one()
            await killer.execute(_END, {"pid": own})
            await tx.execute(NAMES)

    with pytest.raises(OperationalError):
        await lose_it_in_the_middle()
    assert await names(database) == []
    async with database.transaction() as tx:
        idle = (await tx.execute(_OWN)).scalar_one()
    async with database.session() as killer:
        await killer.execute(_END, {"pid": idle})
    await eventually(lambda: not any(wire.is_sound for wire in database.pool._idle))
    assert await names(database) == []


async def test_both_sides_take_a_machine_that_says_nothing_for_gone(database: Database) -> None:
    async with database.session() as session:
        with socket.socket(fileno=os.dup(session._wire._socket)) as end:
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            of_service = [end.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        found = await session.execute(text(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}"))
    assert of_service == [10, 5, 3, 25_000]
    assert tuple(found.one()) == ("10", "5", "3", "25000")


async def test_a_server_that_takes_no_writes_counts_as_away(database: Database) -> None:
    async with database.reading() as session:
        await session.execute(text("SET default_transaction_read_only = on"))
    with pytest.raises(OperationalError, match="takes no writes"):
        async with database.transaction() as tx:
            await add(tx, "Rex")
    async with database.transaction() as tx:  # on another connection
        await add(tx, "Rex")


async def test_who_still_writes_hears_that_the_connection_is_lost(database: Database) -> None:
    async with database.session() as session:
        backend = (await session.execute(_OWN)).scalar_one()
        os.kill(backend, signal.SIGSTOP)
        try:
            writing = asyncio.create_task(session.execute(ADD, {"name": "x" * 60_000_000}))
            await asyncio.sleep(0.2)
            assert not writing.done()
            with socket.socket(fileno=os.dup(session._wire._socket)) as end:
                end.shutdown(socket.SHUT_RD)  # as if the server had hung up: nothing can be read, nothing written
            async with asyncio.timeout(60):
                with pytest.raises(OperationalError):
                    await writing
        finally:
            os.kill(backend, signal.SIGCONT)


async def test_after_a_migration_a_statement_is_planned_anew(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "Rex")
        await tx.execute(_ALL)
    async with database.session() as other:
        await other.execute(text("ALTER TABLE dogs ADD COLUMN age integer NOT NULL DEFAULT 3"))
    with pytest.raises(FeatureNotSupported):
        async with database.transaction() as tx:
            await tx.execute(_ALL)
    async with database.transaction() as tx:
        assert (await tx.execute(_ALL)).one().age == 3


async def test_notifications_come_until_the_connection_is_lost(database: Database) -> None:
    heard = asyncio.Queue[int]()

    async def listen(session: Session) -> None:
        await heard.put((await session.execute(_OWN)).scalar_one())
        await session.execute(text("LISTEN dogs"))
        async for _ in session.notifications():
            await heard.put(0)

    async with database.session() as listener, database.session() as speaker, asyncio.timeout(60):
        listening = asyncio.create_task(listen(listener))
        pid = await heard.get()

        async def listens() -> bool:
            return bool((await speaker.execute(_LISTENS, {"pid": pid})).all())

        await eventually(listens)
        for _ in range(3):
            await speaker.execute(text("SELECT pg_notify('dogs', '')"))
            await heard.get()
        await speaker.execute(_END, {"pid": pid})
        with pytest.raises(OperationalError):
            await listening


async def test_what_only_reads_begins_nothing_and_sees_what_is_committed(database: Database) -> None:
    async with database.reading() as reading:
        assert (await reading.execute(NAMES)).scalars() == []
        async with database.transaction() as tx:
            await add(tx, "Rex")
        assert (await reading.execute(NAMES)).scalars() == ["Rex"]
        states = text("""
            SELECT DISTINCT state FROM pg_stat_activity
            WHERE datname = current_database() AND usename = user AND pid <> pg_backend_pid()
        """)
        async with database.session() as other:
            assert (await other.execute(states)).scalars() == ["idle"]
