"""Running background work for the length of a test, and waiting for what it brings about."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from petpro_common.db import Database
from petpro_common.messaging.broker import Broker
from petpro_common.tasks import end

MakeDatabase = Callable[[str], Awaitable[Database]]
MakeBroker = Callable[[str], Awaitable[Broker]]


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` beside the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        await end(tasks)


async def eventually(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 60.0) -> None:
    """Returns as soon as `holds` does; raises TimeoutError when it does not in a time that is long for any machine."""
    async with asyncio.timeout(seconds):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.02)
