"""Reminders: a customer is told once more when a booking begins, some time before it does.

    told of the start (booked, moved) ──longer before than the reminder's time──> reminded ──> told of the start
                                      ╰─later: the confirmation or the news of the move is reminder enough

A booking is marked as told in the transaction that writes its event, so each start is told of once, whatever crashes
and however many sweeps run. What is cancelled, or about to be, is passed over; what moves away gets its reminder at its
new time. After an outage those that are late are told too, while the booking has not begun. Time is the database's.
"""

from datetime import timedelta

from petpro_booking import events, store
from petpro_common import kill_points
from petpro_common.db import Database
from petpro_common.kill_points import Moment
from petpro_common.rounds import in_rounds

BATCH = 100


async def run(database: Database, ahead_seconds: float, every_seconds: float) -> None:
    """Reminds of what begins within `ahead_seconds`, now and every `every_seconds`, until cancelled."""

    async def one_round() -> float:
        await remind_all(database, ahead_seconds)
        return every_seconds

    await in_rounds("reminders", one_round)


async def remind_all(database: Database, ahead_seconds: float) -> None:
    """Sweeps until nothing is due."""
    while await sweep(database, timedelta(seconds=ahead_seconds)) == BATCH:
        pass


async def sweep(database: Database, ahead: timedelta) -> int:
    """Reminds of up to BATCH bookings that begin within `ahead`; how many."""
    async with database.transaction() as tx:
        due = await store.take_due_reminders(tx, ahead, BATCH)
        for booking, starts in due:
            events.booking_reminder_due(tx, booking, starts)
        kill_points.reach(Moment.BEFORE_COMMIT, "reminders")
    if due:
        kill_points.reach(Moment.AFTER_COMMIT, "reminders")
    return len(due)
