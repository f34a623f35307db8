"""How much waits in the outbox, and what that means for new work.

The broker may be away for long. Until the limit is reached nothing changes: writes are as fast as ever, and their
messages wait in Postgres. From then on a transaction that would write a message is rolled back when an RPC begins new
work in it (OutboxFull), and nothing of it is left. Consumers, sagas, sweeps and the RPCs that end what was begun go on:
refusing them would leave seats, sagas and money in the air, and they cannot be more than what was begun before.

A look counts the waiting rows by their partial index, at most as far as the limit, and needs no broker. What is written
between two looks goes a little beyond the limit. What is published a second time, because the broker forgot it, does
not count.
"""

import structlog
from sqlalchemy import text

from petpro_common import context, telemetry
from petpro_common.db import Database
from petpro_common.errors import OutboxFull
from petpro_common.saturation import keep_looking

_EVERY_SECONDS = 1.0

# A message that was published once names its stream, also while it waits to be published again.
_LOOK = text("""
    SELECT count(*) AS waiting,
        coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS oldest_seconds
    FROM (SELECT created_at FROM outbox WHERE published_at IS NULL AND stream IS NULL LIMIT :most) AS unpublished
""")

_log = structlog.get_logger()


class Backlog:
    """The outbox of one service, held against its limit in messages; see the module."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        self.is_full = False
        database.before_messages.append(self._refuse_new_work)

    async def run(self) -> None:
        """Looks until cancelled; while the database does not answer, the last look counts."""
        await keep_looking("outbox backlog", self.look, _EVERY_SECONDS)

    async def look(self) -> None:
        """Counts what waits, and decides whether that is too much."""
        async with self._database.reading() as tx:
            found = (await tx.execute(_LOOK, {"most": self._limit})).one()
        telemetry.OUTBOX_UNPUBLISHED.set(found.waiting)
        telemetry.OUTBOX_OLDEST_SECONDS.set(found.oldest_seconds)
        if self.is_full != (found.waiting >= self._limit):
            self.is_full = not self.is_full
            tell = _log.error if self.is_full else _log.info
            tell("outbox is full; new work is refused" if self.is_full else "outbox has room again", limit=self._limit)

    def _refuse_new_work(self) -> None:
        call = context.current()
        if self.is_full and call is not None and call.begins_work:
            telemetry.OUTBOX_REFUSALS.inc()
            raise OutboxFull
