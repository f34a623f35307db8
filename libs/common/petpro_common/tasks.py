"""Ending background tasks."""

import asyncio
from collections.abc import Collection
from typing import Any

_AGAIN_SECONDS = 0.25


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks and returns when all have ended.

    It cancels again whoever goes on: before Python 3.12 `asyncio.wait_for`, which libraries use, loses a cancellation
    that comes at the very moment of its result.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
