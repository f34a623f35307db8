"""A round: some parts are killed at their points again and again while customers come and go; then all must be well."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from devstack.running import RunningStack
from tests.chaos.points import Point
from tests.chaos.reborn import reborn
from tests.chaos.traffic import Traffic, open_traffic
from tests.chaos.verdict import Verdict, judge
from tests.world import World, open_world

HIT_SECONDS = 150.0
"""How long a part may run before its point is reached."""

Trouble = Callable[[RunningStack], Awaitable[int]]
"""Makes trouble for a while and puts things right again, but for what the platform must do by itself; how often."""


@dataclass(frozen=True)
class Line:
    """A line of the table. What is wrong after a round stands in the lines of all that was done in it."""

    name: str
    runs: int
    sagas: int
    lost: int
    doubled: int
    stuck: int


async def kill_round(stack: RunningStack, points: Sequence[Point], kills: int) -> tuple[list[Line], Verdict]:
    """Kills each point's part `kills` times at that point; of several points of one part one after the other."""
    runs: dict[str, int] = {}

    async def kill(part: str, stack: RunningStack) -> int:
        for point in (point for point in points if point.part == part):
            runs[point.name] = await _keep_killing(stack, point, kills)
        return len(runs)

    parts = dict.fromkeys(point.part for point in points)
    visits = list(dict.fromkeys(point.visit for point in points))
    _, verdict = await _round(stack, [partial(kill, part) for part in parts], visits)
    return _lines([point.name for point in points], [runs[point.name] for point in points], verdict), verdict


async def trouble_round(
    stack: RunningStack, name: str, trouble: Trouble, visits: Sequence[str]
) -> tuple[list[Line], Verdict]:
    """One kind of trouble."""
    counts, verdict = await _round(stack, [trouble], visits)
    return _lines([name], counts, verdict), verdict


async def _round(stack: RunningStack, troubles: Sequence[Trouble], visits: Sequence[str]) -> tuple[list[int], Verdict]:
    async with open_world(stack) as world:
        since = await _now(world)
        traffic = await open_traffic(world)
        counts = await _in_traffic(stack, traffic, troubles, visits)
        return counts, await judge(world, traffic, since)


async def _in_traffic(
    stack: RunningStack, traffic: Traffic, troubles: Sequence[Trouble], visits: Sequence[str]
) -> list[int]:
    end = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.flow(visits, end))
        counts = await asyncio.gather(*(trouble(stack) for trouble in troubles))
        end.set()
    return list(counts)


async def _now(world: World) -> datetime:
    [row] = await world.rows("booking", "SELECT clock_timestamp() AS now")
    return row["now"]  # type: ignore[no-any-return]


def _lines(names: Sequence[str], counts: Sequence[int], verdict: Verdict) -> list[Line]:
    wrong = (len(verdict.lost), len(verdict.doubled), len(verdict.stuck))
    return [Line(name, count, verdict.sagas, *wrong) for name, count in zip(names, counts, strict=True)]


async def _keep_killing(stack: RunningStack, point: Point, kills: int) -> int:
    """How often the part killed itself at the point; less than `kills` when the point is not reached any more."""
    deaths = stack.run / f"{point.part}.deaths"
    deaths.write_text("0")
    await stack.kill(point.part)
    await stack.start_part(point.part, reborn(point.part, point.pattern, kills, deaths))
    done, seen_at = 0, time.monotonic()
    while done < kills and time.monotonic() - seen_at < HIT_SECONDS:
        await asyncio.sleep(0.2)
        now = int(deaths.read_text())
        done, seen_at = now, time.monotonic() if now > done else seen_at
    if done < kills:  # it is armed still
        await stack.kill(point.part)
        await stack.start_part(point.part)
    return done
