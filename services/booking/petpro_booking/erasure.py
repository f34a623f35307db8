"""What becomes of the holds and bookings of people who were erased: they end as if their customer had asked.

- A hold is given back. One that is being paid for is let be: it fails, or becomes a booking and is cancelled then.
- A booking that is to come is cancelled by the customer's saga, under its own policy. Where the provider refuses the
  refund it stands as before, and the clinic or an administrator cancels it.
- It is looked for again as long as `petpro_common.personal.erasure` looks: a hold or a checkout that was in hand at the
  erasure ends too. Nothing new is held, since account has deleted their pets.
"""

from contextlib import suppress
from uuid import UUID

from petpro_booking import cancellation, reservations, store_personal
from petpro_booking.store_personal import ERASED
from petpro_common.context import Caller, Role
from petpro_common.db import Database
from petpro_common.errors import PetProError
from petpro_common.personal.erasure import erased_of_late
from petpro_common.saga import SagaEngine

_BATCH = 64


async def end_all(database: Database, engine: SagaEngine) -> None:
    """Ends what is to come of everybody who was erased of late."""
    user_ids = await erased_of_late(database)
    if not user_ids:
        return
    await _give_back(database, user_ids)
    while await _cancel(database, engine, user_ids):
        pass


async def _give_back(database: Database, user_ids: list[UUID]) -> None:
    async with database.reading() as tx:
        holds = await store_personal.holds(tx, user_ids)
    for hold in holds:
        with suppress(PetProError):  # it has ended meanwhile, or is being paid for
            async with database.transaction() as tx:
                await reservations.cancel(tx, _customer(hold.user_id), hold.id)


async def _cancel(database: Database, engine: SagaEngine, user_ids: list[UUID]) -> int:
    """Begins to cancel up to a batch of bookings; how many."""
    async with database.transaction() as tx:
        found = await store_personal.bookings_to_come(tx, user_ids, _BATCH)
        requests = [
            cancellation.CancellationRequest(
                caller=_customer(booking.user_id), about=booking.id, claim=None, reason=ERASED, as_customer=True
            )
            for booking in found
        ]
        outcomes = await cancellation.request(tx, engine, requests) if requests else []
    return sum(not isinstance(outcome, PetProError) for outcome in outcomes)


def _customer(user_id: UUID) -> Caller:
    return Caller(str(user_id), Role.CUSTOMER)
