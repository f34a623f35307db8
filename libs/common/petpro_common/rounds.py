"""Background tasks that work in rounds, and tell when they do not get on."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog
from nats.errors import Error as NatsError
from psycopg import Error as DatabaseError

from petpro_common import telemetry
from petpro_common.faults import told

# By task and by loop: a service runs several of one name, and one that gets on must not hide one that does not.
_failing_since: defaultdict[str, dict[object, float]] = defaultdict(dict)

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
    loop, failing = object(), _failing_since[task]
    while True:
        try:
            pause = await one_round()
            failing.pop(loop, None)
        except (DatabaseError, NatsError, OSError, TimeoutError) as fault:
            telemetry.BACKGROUND_FAILURES.labels(task).inc()
            _log.warning("background task tries again", task=task, cause=told(fault))
            failing.setdefault(loop, time.time())
            pause = after_a_fault_seconds
        telemetry.BACKGROUND_FAILING_SINCE.labels(task).set(min(failing.values(), default=0))
        await rest(pause)
