"""Background tasks that work in rounds."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from psycopg import Error as DatabaseError

from petpro_common import telemetry
from petpro_common.faults import told

_AFTER_A_FAULT_SECONDS = 1.0

_log = structlog.get_logger()


async def in_rounds(task: str, one_round: Callable[[], Awaitable[float]]) -> None:
    """Runs `one_round` until cancelled; it returns the seconds until the next. A fault is counted and tried again."""
    while True:
        try:
            pause = await one_round()
        except (DatabaseError, OSError, TimeoutError) as fault:
            telemetry.BACKGROUND_FAILURES.labels(task).inc()
            _log.warning("background task tries again", task=task, cause=told(fault))
            pause = _AFTER_A_FAULT_SECONDS
        await asyncio.sleep(pause)
