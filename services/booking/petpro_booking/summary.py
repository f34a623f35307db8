"""The monthly summary of each clinic: bookings and revenue by currency, as of the last refresh."""

from collections.abc import Sequence
from uuid import UUID

from petpro_booking import access, store_upkeep
from petpro_booking.domain import ClinicNotFound
from petpro_common.context import Caller
from petpro_common.db import Database, Row, Transaction
from petpro_common.rounds import in_rounds


async def run(database: Database, every_seconds: float) -> None:
    """Refreshes now and every `every_seconds` until cancelled; of several replicas one does the work."""

    async def one_round() -> float:
        async with database.transaction() as tx:
            await store_upkeep.refresh_summary(tx)
        return every_seconds

    await in_rounds("summary", one_round)


async def of_clinic(tx: Transaction, caller: Caller, clinic_id: UUID) -> Sequence[Row]:
    """A clinic's months, newest first. Raises ClinicNotFound to whoever may not see them."""
    if not await access.sees_clinic(tx, caller, clinic_id):
        raise ClinicNotFound
    return await store_upkeep.summary(tx, clinic_id)
