"""What waits, counted every few seconds for the alarms: for a person, or for a provider for too long."""

import asyncio

import structlog
from prometheus_client import Gauge
from psycopg import Error as DatabaseError

from petpro_common import telemetry
from petpro_common.db import Database
from petpro_payment import refund_store, store

WAITING = Gauge("petpro_payment_waiting", "Payments and refunds that wait, by what they wait for", ["what"])
_EVERY_SECONDS = 10.0
_TOO_LONG_SECONDS = 300.0

_log = structlog.get_logger()


async def run(database: Database) -> None:
    """Counts until cancelled; a fault of the database is logged and tried again at the next turn."""
    while True:
        try:
            await count(database)
        except (DatabaseError, OSError) as fault:
            telemetry.BACKGROUND_FAILURES.labels("payment backlog").inc()
            _log.warning("backlog is counted again later", cause=repr(fault))
        await asyncio.sleep(_EVERY_SECONDS)


async def count(database: Database) -> None:
    """Sets the gauge to what waits now."""
    async with database.transaction() as tx:
        manual = await refund_store.count_manual(tx)
        quarantined = await store.count_quarantined(tx)
        overdue = await store.count_overdue(tx, _TOO_LONG_SECONDS)
    WAITING.labels("refund for a person").set(manual)
    WAITING.labels("quarantined payment").set(quarantined)
    WAITING.labels("payment past its deadline").set(overdue)
