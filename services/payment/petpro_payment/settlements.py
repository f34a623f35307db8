"""Paying the clinics: what they have earned before an instant, each clinic and currency in a transaction of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from petpro_common.db import Database, Row
from petpro_common.errors import invalid
from petpro_common.ids import new_id
from petpro_payment import settlement_store

MOST = 100
"""Settlements of one call."""
IN_FLIGHT = timedelta(minutes=1)
"""An entry is stamped when its transaction begins; after so long that has ended."""

_log = structlog.get_logger()


async def run(
    database: Database, until: datetime, clinic_id: UUID | None, operator: str, reason: str, *, dry_run: bool
) -> tuple[Sequence[Row], bool]:
    """What was settled, or would be, and whether there is more. A call that was cut off is simply made again.

    Raises InvalidRequest when `until` is not long enough ago for all that was written before to be there.
    """
    if until > datetime.now(UTC) - IN_FLIGHT:
        raise invalid("until", "must be at least a minute ago")
    async with database.transaction() as tx:
        due = await settlement_store.foreseen(tx, until, clinic_id)
    if dry_run:
        return due[:MOST], len(due) > MOST
    payable = [one for one in due if one.clinic_amount >= 0]
    settled = [await _settle(database, one, operator, reason) for one in payable[:MOST]]
    return [one for one in settled if one is not None], len(payable) > MOST


async def _settle(database: Database, due: Row, operator: str, reason: str) -> Row | None:
    async with database.transaction() as tx:
        made = await settlement_store.settle(tx, new_id(), due.clinic_id, due.currency, due.until)
        if made is None:
            return None
        settlement_store.note(tx, operator, "settle", made.id, reason)
    _log.info("settled", settlement_id=str(made.id), clinic_id=str(made.clinic_id), entries=made.entry_count)
    return made
