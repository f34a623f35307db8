"""What waits, counted every fifteen seconds for the alarms: for a person, or for a provider."""

from prometheus_client import Gauge

from petpro_common.db import Database
from petpro_common.saturation import keep_looking
from petpro_payment import store_queue

WAITING = Gauge("petpro_payment_waiting", "Payments and refunds that wait, by what they wait for", ["what"])
OLDEST_SECONDS = Gauge(
    "petpro_payment_waiting_oldest_seconds", "How long the oldest of petpro_payment_waiting has waited", ["what"]
)
_TOO_LONG_SECONDS = 300.0


async def run(database: Database) -> None:
    """Counts until cancelled; a fault of the database is logged and tried again at the next turn."""
    await keep_looking("payment backlog", lambda: count(database))


async def count(database: Database) -> None:
    """Sets the gauges to what waits now."""
    async with database.reading() as tx:
        rows = await store_queue.waiting(tx, _TOO_LONG_SECONDS)
    for row in rows:
        WAITING.labels(row.what).set(row.found)
        OLDEST_SECONDS.labels(row.what).set(row.oldest_seconds)
