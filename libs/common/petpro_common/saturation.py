"""How full a service is: what nothing tells of when it happens, and is looked at now and then.

| metric | when it is looked at |
|---|---|
| `petpro_event_loop_lag_seconds` | every few seconds |
| `petpro_calls_in_hand`, `petpro_streams_open`, `petpro_db_connections`, `petpro_db_waiting` | when they are scraped |
| whatever is given to `keep_looking` | every fifteen seconds; after long looks more seldom, each minute at least |
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Gauge, Histogram

from petpro_common.pool import Pool
from petpro_common.rounds import in_rounds

LOOK_EVERY_SECONDS = 15.0
_PAUSE_FOR_LOOK = 20.0  # seconds of pause for each second of a look
_LONGEST_PAUSE_SECONDS = 60.0  # or one slow look would leave alarms blind
_LAG_EVERY_SECONDS = 3.0

LOOP_LAG = Histogram(
    "petpro_event_loop_lag_seconds",
    "How late the event loop came to what was due, looked at every three seconds",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
CALLS_IN_HAND = Gauge("petpro_calls_in_hand", "gRPC calls that are being served")
STREAMS_OPEN = Gauge("petpro_streams_open", "gRPC calls that are being answered by a stream")
CONNECTIONS = Gauge("petpro_db_connections", "Connections to the database, by what they do", ["state"])
CONNECTIONS_LIMIT = Gauge("petpro_db_connections_limit", "Connections to the database that there may be at once")
WAITING = Gauge("petpro_db_waiting", "Callers that wait for a connection to the database")


def watch_pool(pool: Pool, size: int) -> None:
    """Has a scrape tell of the connections of a pool that may have `size` of them."""
    CONNECTIONS_LIMIT.set(size)
    CONNECTIONS.labels("in_use").set_function(lambda: pool.in_use)
    CONNECTIONS.labels("idle").set_function(lambda: pool.idle)
    CONNECTIONS.labels("committing").set_function(lambda: pool.committing)
    WAITING.set_function(lambda: pool.waiting)


async def watch_event_loop() -> None:
    """Observes until cancelled how late the event loop comes to what is due."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY_SECONDS
        await asyncio.sleep(_LAG_EVERY_SECONDS)
        LOOP_LAG.observe(max(loop.time() - due, 0.0))


async def keep_looking(
    task: str, look: Callable[[], Awaitable[None]], every_seconds: float = LOOK_EVERY_SECONDS
) -> None:
    """Looks until cancelled; what was seen before stands until a look goes well.

    The longer a look takes the longer is the pause after it, up to a minute, so that looks of up to three seconds never
    take more than a twentieth of a connection's time. One that fails is done again as if it had taken none: a server
    that was away is looked at as soon as it is back.
    """

    async def one_round() -> float:
        began = time.monotonic()
        await look()
        pause = min(_PAUSE_FOR_LOOK * (time.monotonic() - began), _LONGEST_PAUSE_SECONDS)
        return max(every_seconds, pause)

    await in_rounds(task, one_round, after_a_fault_seconds=every_seconds)
