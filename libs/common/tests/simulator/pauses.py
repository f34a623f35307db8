"""Where simulated code can be interrupted, and the clock by which it waits."""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

_BEGINNING = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Seconds since the beginning of the schedule."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return _BEGINNING + timedelta(seconds=self.seconds)

    def seconds_of(self, instant: datetime) -> float:
        return (instant - _BEGINNING).total_seconds()


@dataclass(frozen=True)
class Pause:
    """`is_in_transaction`: nothing else runs meanwhile. `woken` waits for that event rather than for `seconds`."""

    place: str
    seconds: float = 0.0
    is_in_transaction: bool = False
    woken: "Event | None" = None

    def __await__(self) -> Generator["Pause", None, None]:
        yield self


class Event:
    """As asyncio.Event; the schedule also ends a wait when its time has come."""

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        await Pause("idle", woken=self)


class Asyncio:
    """The part of asyncio that the code under test uses, by the simulated clock."""

    Event = Event
    Lock = asyncio.Lock

    def __init__(self, clock: Clock, dice: Random) -> None:
        self._clock = clock
        self._dice = dice

    async def sleep(self, seconds: float) -> None:
        await Pause("sleep", seconds)

    def timeout(self, _: float) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    def get_running_loop(self) -> SimpleNamespace:
        """What is to be done soon is done at once: who goes on first is for the schedule to say."""
        return SimpleNamespace(time=lambda: self._clock.seconds, call_soon=lambda work: work())

    async def gather(self, *coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
        """One after the other, in any order."""
        results: dict[int, Any] = {}
        order = self._dice.sample(range(len(coroutines)), len(coroutines))
        try:
            for index in order:
                results[index] = await coroutines[index]
        finally:
            for coroutine in coroutines:
                coroutine.close()
        return [results[index] for index in range(len(coroutines))]
