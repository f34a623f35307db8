"""Closed-loop load: so many callers, each with one call in hand, for so long."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Call = Callable[[int], Awaitable[object]]


@dataclass(frozen=True)
class Sample:
    """What one round gave: calls a second, and milliseconds of the middle and of the slowest hundredth."""

    rate: float
    p50: float
    p99: float


async def measure(call: Call, callers: int, seconds: float) -> Sample:
    """Runs `call(caller)` in `callers` loops at once. A call that fails fails the round."""
    taken: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def loop(caller: int) -> None:
        while (start := time.perf_counter()) < until:
            await call(caller)
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*(loop(caller) for caller in range(callers)))
    elapsed = time.perf_counter() - began
    cuts = statistics.quantiles(taken, n=100)
    return Sample(len(taken) / elapsed, cuts[49] * 1000, cuts[98] * 1000)


def middle(samples: list[Sample]) -> Sample:
    """The median of each figure over the rounds."""
    return Sample(
        statistics.median(sample.rate for sample in samples),
        statistics.median(sample.p50 for sample in samples),
        statistics.median(sample.p99 for sample in samples),
    )
