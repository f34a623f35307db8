"""What is no longer needed is deleted, in small batches, by age."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from petpro_common import telemetry
from petpro_common.db import Database

_BATCH = 1_000
_EVERY_SECONDS = 600.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class Purge:
    """Rows of `table` whose `column` is older than `keep` go."""

    table: str
    column: str
    keep: timedelta


# The inbox outlives the outbox: what may be published again must still be known as a copy.
PURGES = (
    Purge("outbox", "published_at", timedelta(days=7)),
    Purge("inbox", "received_at", timedelta(days=30)),
    Purge("idempotency_keys", "created_at", timedelta(days=7)),
)


async def run_purges(database: Database, purges: tuple[Purge, ...] = PURGES) -> None:
    """Purges every ten minutes until cancelled; a fault is logged and tried again at the next turn."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            for purge in purges:
                await purge_one(database, purge)
        except (SQLAlchemyError, OSError) as fault:
            telemetry.BACKGROUND_FAILURES.labels("purge").inc()
            _log.warning("purge tries again later", cause=repr(fault))


async def purge_one(database: Database, purge: Purge) -> int:
    """Deletes what is too old, a batch to a transaction; how many rows went."""
    statement = text(f"""
        DELETE FROM {purge.table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {purge.table}
            WHERE {purge.column} < CURRENT_TIMESTAMP - CAST(:keep AS interval) LIMIT :batch))
    """)  # noqa: S608  # the names are constants of this module
    total = 0
    while True:
        async with database.transaction() as tx:
            gone = (await tx.execute(statement, {"keep": purge.keep, "batch": _BATCH})).rowcount
        total += gone
        if gone < _BATCH:
            return total
