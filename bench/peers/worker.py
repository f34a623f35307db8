"""What every peer's program does with its standard input: one JSON order a line, one JSON answer a line.

{"callers": 32, "seconds": 5, "first": 1, "stride": 2}   sagas in so many loops; all that were begun are waited for
{"start": [7, 8, 9]}                                      begun, durably, and left to the engine
{"spent": true}                                           the CPU seconds of this process up to now
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Saga = Callable[[int], Awaitable[object]]
AT_ONCE = 32


async def serve(run: Saga, start: Saga) -> None:
    """Answers orders until the input ends. `run` brings a saga to its end, `start` returns when it is durably begun."""
    _say({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        match json.loads(line):
            case {"start": numbers}:
                _say(await _start(start, numbers))
            case {"spent": _}:
                _say({"cpu_seconds": time.process_time()})
            case order:
                _say(await _measure(run, order))


async def _measure(run: Saga, order: dict[str, Any]) -> dict[str, Any]:
    taken: list[float] = []
    numbers = itertools.count(order["first"], order["stride"])
    until = time.monotonic() + order["seconds"]

    async def caller() -> None:
        while (began := time.monotonic()) < until:
            await run(next(numbers))
            taken.append((time.monotonic() - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(order["callers"])))
    return {"taken": taken, "last_end": time.monotonic(), "next": next(numbers)}


async def _start(start: Saga, numbers: list[int]) -> dict[str, Any]:
    waiting = iter(numbers)

    async def caller() -> None:
        for number in waiting:
            await start(number)

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return {"started": len(numbers)}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
