"""Visits that a clinic has called off while their customers' own cancellations were on their way.

    the customer's cancellation is on its way ──the clinic calls the visit off──> its word is kept
    its word is kept ──the refund is taken on──────> cancelled as the customer asked: under the policy
                     ╰─the cancellation is undone──> cancelled by the clinic, which gives all back

The word stands on the booking (`called_off_reason`). Whatever has undone the customer's saga, a refusal, an operator or
a replica of the version before, the next round begins the clinic's; the undoing tells, and else it comes by itself.
Until then nothing else becomes of the booking.
"""

import asyncio

from petpro_booking import cancellation, store_sagas
from petpro_common import tasks
from petpro_common.db import Database
from petpro_common.rounds import in_rounds
from petpro_common.saga import SagaEngine

BATCH = 64
_EVERY_SECONDS = 10.0


async def run(database: Database, engine: SagaEngine) -> None:
    """Carries out what is due until cancelled: every ten seconds, and at once after this process has heard of one.

    Any number of replicas may do so side by side.
    """
    woken = asyncio.Event()
    database.listen(cancellation.CALLED_OFF, lambda _: woken.set())

    async def one_round() -> float:
        while await carry_out(database, engine) == BATCH:
            pass
        return _EVERY_SECONDS

    async def rest(seconds: float) -> None:
        await tasks.woken(woken, seconds)
        woken.clear()

    await in_rounds("called off", one_round, rest=rest)


async def carry_out(database: Database, engine: SagaEngine) -> int:
    """Begins up to BATCH cancellations of clinics whose word was kept; how many."""
    async with database.transaction() as tx:
        bookings = await store_sagas.lock_called_off(tx, BATCH)
        if bookings:
            await engine.start_all(tx, [cancellation.by_clinic(booking) for booking in bookings])
    return len(bookings)
