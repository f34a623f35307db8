"""Waiting for something at most so long, and ending background tasks."""

import asyncio
import contextlib
from collections.abc import Awaitable, Collection
from typing import Any

_AGAIN_SECONDS = 0.25


async def woken(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits for an event, at most so many seconds, or with None as long as it takes; whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def first_of(*work: Awaitable[Any]) -> None:
    """Returns as soon as one of these has ended, and has the others ended. Raises what it raised."""
    running = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(running)
    for task in done:
        task.result()


async def end(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancels tasks and returns when all have ended.

    It cancels again whoever goes on: before Python 3.12 `asyncio.wait_for`, which libraries use and we do not, loses a
    cancellation that comes at the very moment of its result.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
