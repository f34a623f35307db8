"""Background tasks that work in rounds, and tell when they do not get on."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from nats.errors import Error as NatsError
from psycopg import Error as DatabaseError

from petpro_common import telemetry
from petpro_common.faults import told

_log = structlog.get_logger()


async def in_rounds(
    task: str,
    one_round: Callable[[], Awaitable[float]],
    after_a_fault_seconds: float = 1.0,
    rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Runs `one_round` until cancelled; it returns the seconds until the next, for which `rest` waits.

    A fault of database or broker is counted and logged, and the round is tried again. Since when none has gone well is
    told by a metric, whatever the pauses.
    """
    failing_since = telemetry.BACKGROUND_FAILING_SINCE.labels(task)
    is_failing = False
    while True:
        try:
            pause = await one_round()
            failing_since.set(0)
            is_failing = False
        except (DatabaseError, NatsError, OSError, TimeoutError) as fault:
            telemetry.BACKGROUND_FAILURES.labels(task).inc()
            _log.warning("background task tries again", task=task, cause=told(fault))
            if not is_failing:
                failing_since.set(time.time())
            is_failing = True
            pause = after_a_fault_seconds
        await rest(pause)
