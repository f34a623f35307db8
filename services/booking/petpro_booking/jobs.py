"""What a CronJob may have done once, beside what the service does by itself all day; see `petpro_common.job`."""

from collections.abc import Mapping
from functools import partial

from petpro_booking import expiry, partitions, reminders, store_upkeep, zone_rules
from petpro_booking.settings import Settings
from petpro_common.db import Database
from petpro_common.housekeeping import PURGES, SAGA_PURGES, purge_all
from petpro_common.job import Job


async def _expire(database: Database) -> None:
    while await expiry.sweep(database) == expiry.BATCH:
        pass


async def _remind(database: Database) -> None:
    await reminders.remind_all(database, Settings.load().reminder_seconds)


async def _follow_zone_rules(database: Database) -> None:
    await zone_rules.move_all(database)


async def _refresh_summary(database: Database) -> None:
    async with database.transaction() as tx:
        await store_upkeep.refresh_summary(tx)


JOBS: Mapping[str, Job] = {
    "expiry": _expire,
    "partitions": partitions.make_ahead,
    "reminders": _remind,
    "purge": partial(purge_all, purges=PURGES + SAGA_PURGES),
    "summary": _refresh_summary,
    "zone-rules": _follow_zone_rules,
}
