"""Background tasks that work in rounds: what an operator sees when they do not get on."""

import asyncio
import time
from functools import partial
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY
from psycopg import OperationalError

from petpro_common import saturation
from petpro_common.rounds import in_rounds
from petpro_common.testing import eventually, running


def failing_since(task: str) -> float | None:
    return REGISTRY.get_sample_value("petpro_background_failing_since_timestamp_seconds", {"task": task})


def failures(task: str) -> float:
    return REGISTRY.get_sample_value("petpro_background_failures_total", {"task": task}) or 0.0


async def test_since_when_no_round_has_gone_well_is_told_until_one_does() -> None:
    is_open = False
    began = time.time()

    async def walk() -> float:
        if not is_open:
            raise OperationalError("the park is closed")
        return 0.01

    async with running(in_rounds("walks", walk, after_a_fault_seconds=0.01)):
        await eventually(lambda: failures("walks") > 2)
        since = failing_since("walks")
        assert since is not None
        assert began <= since <= time.time()
        before = failures("walks")
        await eventually(lambda: failures("walks") > before)
        assert failing_since("walks") == since, "it is the first of those that failed"
        is_open = True
        await eventually(lambda: failing_since("walks") == 0)


async def test_of_two_tasks_of_one_name_the_one_that_gets_on_does_not_hide_the_other() -> None:
    """A service purges in two loops, and looks at each of its consumers."""
    fed = 0

    async def feed() -> float:
        nonlocal fed
        fed += 1
        return 0.01

    async def bathe() -> float:
        raise OperationalError("no water")

    async with running(in_rounds("chores", bathe, after_a_fault_seconds=60)), running(in_rounds("chores", feed)):
        await eventually(lambda: failures("chores") == 1)
        before = fed
        await eventually(lambda: fed > before + 1)
        assert failing_since("chores")


async def test_the_pause_after_a_look_grows_with_it_and_not_with_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is stopped takes half a minute to fail a look: no reason to be blind for ten."""
    now, pauses, takes = 0.0, list[float](), iter([0.1, 2.0, 30.0, -30.0, 0.1])
    monkeypatch.setattr(saturation, "time", SimpleNamespace(monotonic=lambda: now))

    async def look() -> None:
        nonlocal now
        took = next(takes, 0.1)
        now += abs(took)
        if took < 0:
            raise OperationalError("the server does not answer")

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(saturation, "in_rounds", partial(in_rounds, rest=rest))
    async with running(saturation.keep_looking("kennels", look, 15.0)):
        await eventually(lambda: len(pauses) > 4)
    assert pauses[:5] == [15.0, 40.0, 60.0, 15.0, 15.0]
