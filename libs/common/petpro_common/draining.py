"""Work that ends in good order when its process stops.

    drain ──> takes on nothing more ──> what is in hand ends ──> `run` returns
                                            │
                                          takes too long ──> is cancelled, and logged

What is cancelled is left as by a process that dies: to its lease, or to the broker's next try. Of a call to somebody
outside, such as a provider of SMS, nobody then knows whether it was heard.
"""

import asyncio
from typing import Protocol

import structlog

from petpro_common import tasks

_log = structlog.get_logger()


class Worker(Protocol):
    """Who takes on work, and can be told to take on no more."""

    async def run(self) -> None:
        """Works until it has been drained, or is cancelled."""

    def drain(self) -> None:
        """Takes on nothing more: `run` returns as soon as what is in hand has ended."""


class Stage:
    """Workers that are drained at the same time; `name` is what they are called in the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: dict[asyncio.Task[None], Worker] = {}

    def add(self, worker: Worker, task: asyncio.Task[None]) -> None:
        """Takes on a worker, whose `run` is `task`."""
        self._running[task] = worker

    async def drain(self, seconds: float) -> None:
        """Drains all, and cancels those who have not ended after so many seconds. Returns when all have ended."""
        for worker in self._running.values():
            worker.drain()
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=max(seconds, 0.0))
        if late:
            _log.warning("stopped before all in hand had ended", what=self._name, workers=len(late))
        await tasks.end(late)
