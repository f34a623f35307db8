"""Of several replicas one looks for slots that a government's clock has left behind, for as long as it lives."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from petpro_booking import zone_rules
from petpro_common.db import Database
from petpro_common.leadership import Leadership
from services.booking.tests.clock_change import SEVEN_BEHIND, Government, generate, must_be_by
from services.booking.tests.world import World

Connect = Callable[[], Database]
Looks = Counter[Database]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """How often each replica has looked; they ask to lead all the time."""
    looks, move_all = Looks(), zone_rules.move_all

    async def count(database: Database) -> bool:
        is_left = await move_all(database)
        looks[database] += 1
        return is_left

    monkeypatch.setattr(zone_rules, "move_all", count)
    monkeypatch.setattr(zone_rules, "_SOON_SECONDS", 0.02)
    return looks


@asynccontextmanager
async def running(*replicas: Database) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(zone_rules.run(replica, replica)) for replica in replicas]
    try:
        yield tasks
    finally:
        for task in tasks:
            await end(task)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_one_replica_looks_and_the_next_when_it_has_gone(
    world: World, government: Government, connect: Connect, looks: Looks
) -> None:
    await generate(world)
    government.decides(SEVEN_BEHIND, "2026b")
    replicas = connect(), connect(), connect()
    async with running(*replicas) as tasks:
        await until(lambda: looks.total() > 0)
        await asyncio.sleep(0.5)
        assert looks.total() == 1, "the others have asked some twenty times"
        await must_be_by(SEVEN_BEHIND, world)

        leading = next(n for n, replica in enumerate(replicas) if looks[replica])
        await end(tasks[leading])
        await until(lambda: looks.total() == 2)
        await asyncio.sleep(0.3)
        assert sorted(looks.values()) == [1, 1]


async def test_who_lost_the_connection_of_their_lead_leaves_the_looks_to_others(
    world: World, government: Government, connect: Connect, looks: Looks
) -> None:
    one, other = connect(), connect()
    async with running(one):
        await until(lambda: looks[one] == 1)
        async with running(other):
            await world.sql("""
                SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE datname = current_database() AND locktype = 'advisory'
            """)
            await until(lambda: looks[other] == 1)
            zone_rules.OFF_THE_CLOCK.set(7)
            await until(lambda: zone_rules.OFF_THE_CLOCK._value.get() == 0)
    assert looks == {one: 1, other: 1}


async def test_newer_rules_wait_for_no_replica_with_older_ones(
    world: World, government: Government, connect: Connect, looks: Looks
) -> None:
    await generate(world)
    government.decides(SEVEN_BEHIND, "2026b")
    async with Leadership(connect()) as old:
        assert await old.is_ours("zone rules 2026a")
        async with running(new := connect()):
            await until(lambda: looks[new] == 1)
    await must_be_by(SEVEN_BEHIND, world)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)
