"""Partitions are made before their time comes. Nothing is detached here: how long to keep is an operator's word."""

from prometheus_client import Gauge

from petpro_booking import store_upkeep
from petpro_common.db import Database
from petpro_common.rounds import in_rounds
from petpro_common.saturation import keep_looking

MONTHS_AHEAD = 4
QUARTERS_AHEAD = 3

PARTITIONS_AHEAD = Gauge(
    "petpro_partitions_ahead", "Periods after the present one that have a partition, without a gap", ["table"]
)
_LOOK_EVERY_SECONDS = 60.0


async def run(database: Database, every_seconds: float) -> None:
    """Makes partitions ahead now and every `every_seconds` until cancelled."""

    async def one_round() -> float:
        await make_ahead(database)
        return every_seconds

    await in_rounds("partitions", one_round)


async def make_ahead(database: Database) -> None:
    """Has partitions for the next months of slots and the next quarters of reservations and bookings."""
    async with database.transaction() as tx:
        await store_upkeep.ensure_ahead(tx, MONTHS_AHEAD, QUARTERS_AHEAD)


async def keep_counting(database: Database) -> None:
    """Tells until cancelled how many partitions lie ahead, whether or not more can be made."""
    await keep_looking("partitions ahead", lambda: count_ahead(database), _LOOK_EVERY_SECONDS)


async def count_ahead(database: Database) -> None:
    """Sets the metric to what is there."""
    async with database.reading() as tx:
        ahead = await store_upkeep.partitions_ahead(tx)
    for table, count in ahead.items():
        PARTITIONS_AHEAD.labels(table).set(count)
