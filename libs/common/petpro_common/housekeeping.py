"""What is no longer needed is deleted by age, the oldest first, in small batches with a pause after each.

| table | kept for | because |
|---|---|---|
| `outbox` | 7 days | it fills a broker that forgot; JetStream itself keeps messages for as long |
| `inbox` | 60 days | what is published or asked again must be known as a copy; some steps are asked for 30 |
| `idempotency_keys` | 7 days | a client that is still trying then has other troubles |
| `sagas`, `saga_timeline` | 180 days after the end | cards are disputed for up to 120, and somebody asks then |
| `saga_operations` | 10 years | who moved money by hand, and why, is kept as long as the books |

A saga that has not ended is never deleted, nor one that is parked. Late copies of replies to a deleted one cannot come:
nobody keeps them for so long. Its business key carries a count that only grows, so it is not free for another start.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import TextClause, text

from petpro_common.db import Database
from petpro_common.rounds import in_rounds

_EVERY_SECONDS = 600.0
_PAUSE_SECONDS = 0.05  # others have the disk at least as long as a batch takes


@dataclass(frozen=True)
class Purge:
    """Rows of `table` whose `column` is older than `keep` go, `batch` in one transaction; only those that are `only`.

    There must be an index that leads in order to the oldest.
    """

    table: str
    column: str
    keep: timedelta
    only: str = "true"
    batch: int = 1_000

    @property
    def statement(self) -> TextClause:
        """Deletes one batch. A row that changes at the same instant has moved, and is not deleted."""
        return text(f"""
            DELETE FROM {self.table} WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM {self.table}
                WHERE {self.only} AND {self.column} < CURRENT_TIMESTAMP - CAST(:keep AS interval)
                ORDER BY {self.column} LIMIT :batch))
        """)  # noqa: S608  # the names are constants of the code


PURGES = (
    Purge("outbox", "published_at", timedelta(days=7)),
    Purge("inbox", "received_at", timedelta(days=60)),
    Purge("idempotency_keys", "created_at", timedelta(days=7)),
)
# A saga takes its timeline along, a dozen lines and more.
SAGA_PURGES = (
    Purge("sagas", "updated_at", timedelta(days=180), "status IN ('completed', 'compensated')", batch=100),
    Purge("saga_operations", "at", timedelta(days=3653)),
)


async def run_purges(database: Database, purges: tuple[Purge, ...] = PURGES) -> None:
    """Purges every ten minutes until cancelled, the first time after ten; after a fault at the next turn."""

    async def one_round() -> float:
        await purge_all(database, purges)
        return _EVERY_SECONDS

    await asyncio.sleep(_EVERY_SECONDS)
    await in_rounds("purge", one_round, after_a_fault_seconds=_EVERY_SECONDS)


async def purge_all(database: Database, purges: tuple[Purge, ...] = PURGES) -> None:
    """Deletes what is too old of every table, one after the other."""
    for purge in purges:
        await purge_one(database, purge)


async def purge_one(database: Database, purge: Purge) -> int:
    """Deletes what is too old, a batch to a transaction; how many rows went."""
    statement, total = purge.statement, 0
    while True:
        async with database.transaction() as tx:
            gone = (await tx.execute(statement, {"keep": purge.keep, "batch": purge.batch})).rowcount
        total += gone
        if gone < purge.batch:
            return total
        await asyncio.sleep(_PAUSE_SECONDS)
