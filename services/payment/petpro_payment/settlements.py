"""Paying the clinics: what they have earned before an instant, each clinic and currency in a transaction of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from petpro_common.db import Database, Row, Transaction
from petpro_common.errors import invalid
from petpro_common.ids import new_id
from petpro_payment import store_audit, store_settlements

MOST = 100
"""Settlements of one call."""
IN_FLIGHT = timedelta(minutes=1)
"""An entry is stamped when its transaction begins; after so long that has ended."""

_log = structlog.get_logger()


async def due(database: Database, until: datetime, clinic_id: UUID | None) -> Sequence[Row]:
    """What would be settled, by clinic and currency; the sums of those that owe more than they earned are below zero.

    Raises InvalidRequest when `until` is not long enough ago for all that was written before to be there.
    """
    if until > datetime.now(UTC) - IN_FLIGHT:
        raise invalid("until", "must be at least a minute ago")
    async with database.reading() as tx:
        return await store_settlements.foreseen(tx, until, clinic_id)


async def settle(tx: Transaction, one: Row, operator: str, reason: str) -> Row | None:
    """What was settled of what was due to one clinic in one currency; None when nothing of it is left."""
    made = await store_settlements.settle(tx, new_id(), one.clinic_id, one.currency, one.until)
    if made is None:
        return None
    store_audit.record_operation(tx, operator, "settle", made.id, reason)
    told = {"settlement_id": str(made.id), "clinic_id": str(made.clinic_id), "entries": made.entry_count}
    tx.after_commit(partial(_log.info, "settled", **told))
    return made
