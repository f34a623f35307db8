"""How full a service is, as its metrics tell."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY
from psycopg import OperationalError

from devstack.testing import MakeDatabase
from petpro_common import saturation
from petpro_common.db import Database
from petpro_common.testing import eventually, running


def seen(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"{name} is not exported"
    return value


async def test_a_scrape_tells_of_connections_in_use_idle_and_waited_for(database: MakeDatabase) -> None:
    made = await database("account")
    pool_of_one = Database(made.url, made.password, pool_size=1)
    saturation.watch_pool(pool_of_one.pool, 1)

    may_end = asyncio.Event()

    async def hold() -> None:
        async with pool_of_one.transaction():
            await may_end.wait()

    held = [asyncio.create_task(hold()), asyncio.create_task(hold())]
    await eventually(lambda: seen("petpro_db_waiting") == 1)
    assert seen("petpro_db_connections", state="in_use") == 1
    assert seen("petpro_db_connections_limit") == 1
    may_end.set()
    await asyncio.gather(*held)
    assert seen("petpro_db_connections", state="in_use") == 0
    assert seen("petpro_db_connections", state="idle") == 1
    assert seen("petpro_db_connections", state="committing") == 0
    assert seen("petpro_db_waiting") == 0
    await pool_of_one.close()


async def test_work_that_holds_up_the_event_loop_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saturation, "_LAG_EVERY_SECONDS", 0.01)
    before = seen("petpro_event_loop_lag_seconds_sum")
    watching = asyncio.create_task(saturation.watch_event_loop())
    await asyncio.sleep(0.005)
    time.sleep(0.1)  # noqa: ASYNC251  # that is what must show
    await asyncio.sleep(0.02)
    watching.cancel()
    assert seen("petpro_event_loop_lag_seconds_sum") - before > 0.05


async def test_a_look_that_fails_is_counted_and_done_again() -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OperationalError("the kennel is closed")

    async with running(saturation.keep_looking("kennel", look, 0.01)):
        await eventually(lambda: looks > 1)
    assert seen("petpro_background_failures_total", task="kennel") == 1
