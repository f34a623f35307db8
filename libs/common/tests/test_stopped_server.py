"""A PostgreSQL that is stopped: its kernel takes whatever is sent, and nobody answers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text

from devstack import testing
from devstack.process import descendants
from devstack.running import RunningStack
from devstack.testing import StartStack
from libs.common.tests.dogs import add, names
from petpro_common import errors, idempotency, pool, statuses, wire
from petpro_common.context import CallContext, Caller, Role, within
from petpro_common.db import Database, Transaction, is_away
from petpro_common.testing import eventually

RETRIED = CallContext("AddDog", "a call", "once", Caller("Siti", Role.CUSTOMER))


@pytest.fixture(scope="module")
def server(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(["postgres"])


@pytest.fixture
async def database(server: RunningStack) -> AsyncIterator[Database]:
    made = await testing.make_empty_database(server, "booking", f"booking_{uuid4().hex}")
    database = Database(made.url, made.password, pool_size=3)
    async with database.session() as session:
        for statement in ("CREATE TABLE dogs (name text)", *idempotency.IDEMPOTENCY_V1.strip().split(";\n")):
            await session.execute(text(statement))
    yield database
    await database.close()


def all_of(server: RunningStack) -> list[int]:
    """Its processes."""
    pid = server.pid("postgres")
    assert pid is not None
    return [pid, *descendants(pid)]


@contextmanager
def stopped(processes: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Stops processes of the server for the length of the block; who waits for an answer soon gives up.

    Gives that impatience: once it is undone, who asks has as long as any machine takes.
    """
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        with monkeypatch.context() as impatient:
            impatient.setattr(wire, "_ANSWER_SECONDS", 0.5)
            impatient.setattr(wire, "_GIVE_UP_SECONDS", 0.5)
            yield impatient
    finally:
        for each in processes:
            os.kill(each, signal.SIGCONT)


async def test_who_asks_hears_that_the_server_is_away_and_its_connection_is_closed(
    server: RunningStack, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(wire.NoAnswer) as raised:  # noqa: PT012  # it is while the block runs that the server is stopped
        async with database.transaction() as tx:
            await add(tx, "Rex")
            with stopped(all_of(server), monkeypatch):
                await add(tx, "Bo")
    assert is_away(raised.value)
    assert isinstance(statuses.as_typed(raised.value), errors.Unavailable)
    assert (database.pool.idle, database.pool.committing) == (0, 0)
    assert await names(database) == []


async def test_a_commit_without_an_answer_may_have_happened_and_a_retry_hears_what_became_of_it(
    server: RunningStack, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Transaction] = []

    async def add_rex(tx: Transaction) -> StringValue:
        await add(tx, "Rex")
        if not tried:
            trouble.enter_context(stopped(all_of(server), monkeypatch))
        tried.append(tx)
        return StringValue(value="there")

    async def ask() -> StringValue:
        return await idempotency.once(database, StringValue(value="Rex"), StringValue, add_rex)

    with within(RETRIED):
        with ExitStack() as trouble:
            with pytest.raises(wire.NoAnswer):
                await ask()
            assert database.pool.committing == 1, "what the server has still to answer is counted"
        await eventually(lambda: database.pool.committing == 0)
        assert (await ask()).value == "there"
    assert len(tried) == 1
    assert await names(database) == ["Rex"]


async def test_a_commit_of_which_the_server_that_is_there_now_knows_nothing_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another has taken the place of a stopped one: here only the process that would commit is stopped."""
    monkeypatch.setattr(pool, "_LOOK_SECONDS", 0.5)

    async def add_rex() -> None:
        async with database.transaction() as tx:
            await add(tx, "Rex")
            process = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            impatience.append(trouble.enter_context(stopped([process], monkeypatch)))

    impatience: list[pytest.MonkeyPatch] = []
    with ExitStack() as trouble:
        with pytest.raises(wire.NoAnswer):
            await add_rex()
        assert database.pool.committing == 1
        impatience[0].undo()  # the rest of the server answers, in its own time
        await eventually(lambda: database.pool.committing == 0)
        assert await names(database) == []


async def test_what_may_take_longer_is_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(tx: Transaction, seconds: float) -> None:
        """Impatient here alone: the rollback may take a busy machine as long."""
        with monkeypatch.context() as impatient:
            impatient.setattr(wire, "_ANSWER_SECONDS", 0.2)
            await tx.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    async with database.transaction() as tx:
        tx.may_take = 60
        await sleep(tx, 0.5)
    with pytest.raises(wire.NoAnswer):
        async with database.transaction() as tx:
            await sleep(tx, 5)
    assert database.pool.idle == 1, "the server could be told to stop"


async def test_who_listens_hears_what_is_said_and_that_the_server_is_away(
    server: RunningStack, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_QUIET_SECONDS", 0.1)
    heard = asyncio.Event()

    async def listen() -> None:
        async with database.session() as session:
            await session.execute(text("LISTEN dogs"))
            async for _ in session.notifications():
                heard.set()

    async def is_heard() -> bool:
        async with database.reading() as reading:
            await reading.execute(text("SELECT pg_notify('dogs', '')"))
        return heard.is_set()

    async with asyncio.timeout(60):
        listening = asyncio.create_task(listen())
        await eventually(is_heard)
        await asyncio.sleep(0.5)  # in which the server is asked some times
        heard.clear()
        await eventually(is_heard)
        with stopped(all_of(server), monkeypatch), pytest.raises(wire.NoAnswer):
            await listening
