"""Work that is done when something is due, and sleeps otherwise."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

_log = logging.getLogger("sandbox.rounds")
_PAUSE_AFTER_A_FAULT = 1.0


class Rounds:
    """Repeats a piece of work whenever it is woken or the time has come that the work itself named."""

    def __init__(self, work: Callable[[], Awaitable[float | None]]) -> None:
        self._work = work
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do now."""
        self._woken.set()

    async def run(self) -> None:
        """Go on until cancelled. A fault is logged and the work repeated: what is due stays due."""
        while True:
            self._woken.clear()
            try:
                pause = await self._work()
            except Exception:  # noqa: BLE001 - a silent end would be worse
                _log.exception("a round failed; it is repeated")
                pause = _PAUSE_AFTER_A_FAULT
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
