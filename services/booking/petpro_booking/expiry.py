"""Holds that run out: each is expired once, its seat is freed and everybody is told, in one transaction.

Any number of sweeps may run side by side: a row is locked by one, the others pass over it. Confirm and cancel lock the
same row and look at its status, so of any two exactly one wins. Time is the database's.
"""

from petpro_booking import events, store
from petpro_common import kill_points
from petpro_common.db import Database
from petpro_common.kill_points import Moment
from petpro_common.rounds import in_rounds

BATCH = 100
_SHORTEST_SLEEP_SECONDS = 0.05


async def run(database: Database, longest_sleep: float) -> None:
    """Sweeps until cancelled. It wakes when the next hold runs out, and at least every `longest_sleep` seconds."""

    async def one_round() -> float:
        while await sweep(database) == BATCH:
            pass
        async with database.reading() as tx:
            seconds = await store.seconds_to_next_expiry(tx)
        return longest_sleep if seconds is None else min(max(seconds, _SHORTEST_SLEEP_SECONDS), longest_sleep)

    await in_rounds("expiry", one_round)


async def sweep(database: Database) -> int:
    """Expires up to BATCH holds that have run out; how many."""
    async with database.transaction() as tx:
        expired = await store.expire(tx, BATCH)
        if expired:
            store.free_seats(tx, (reservation.slot_id for reservation in expired))
        for reservation in expired:
            events.reservation_expired(tx, reservation)
            kill_points.reach(Moment.BEFORE_COMMIT, "expiry")
    if expired:
        kill_points.reach(Moment.AFTER_COMMIT, "expiry")
    return len(expired)
