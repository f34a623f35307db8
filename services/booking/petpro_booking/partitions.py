"""Partitions are made before their time comes. Nothing is detached here: how long to keep is an operator's word."""

from prometheus_client import Gauge

from petpro_booking import store_upkeep
from petpro_booking.rounds import in_rounds
from petpro_common.db import Database

MONTHS_AHEAD = 4
QUARTERS_AHEAD = 3

PARTITIONS_AHEAD = Gauge("petpro_partitions_ahead", "Partitions that lie after the present one", ["table"])


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
        ahead = await store_upkeep.partitions_ahead(tx)
    for table, count in ahead.items():
        PARTITIONS_AHEAD.labels(table).set(count)
