"""Who is reminded of a booking, when, and that nobody is twice."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_booking import reminders, store
from petpro_booking.jobs import JOBS
from petpro_booking.settings import Settings
from petpro_common import kill_points
from petpro_common.ids import new_id
from petpro_common.kill_points import Moment
from services.booking.tests.world import World

DAY = timedelta(hours=24)
A_MOMENT = timedelta(minutes=5)
_MORE = """
    INSERT INTO bookings SELECT copy.* FROM generate_series(1, 1000) AS number, bookings,
        LATERAL (SELECT uuidv7() AS id WHERE number > 0) AS new,
        LATERAL jsonb_populate_record(CAST(NULL AS bookings), to_jsonb(bookings) || jsonb_build_object(
            'id', new.id, 'created_at', uuid_extract_timestamp(new.id), 'starts_at', now() + number * interval '1 hour'
        )) AS copy
"""


async def booked_long_ago(world: World, starts_in: timedelta) -> UUID:
    """A booking of last week that begins so long after now."""
    booking_id = await world.book(new_id(), await world.open_slot(starts_in))
    await world.sql(
        "UPDATE bookings SET start_told_at = start_told_at - interval '7 days' WHERE id = :id", id=booking_id
    )
    return booking_id


async def reminded(world: World) -> list[str]:
    return [event["booking_id"] for event in await world.events("booking.reminder_due")]


async def move(world: World, booking_id: UUID, starts_in: timedelta) -> None:
    slot_id = await world.open_slot(starts_in)
    request = booking_pb2.RescheduleBookingRequest(booking_id=str(booking_id), slot_id=str(slot_id))
    await world.bookings.RescheduleBooking(request, metadata=world.as_ani)


async def test_a_customer_is_reminded_once_of_what_begins_within_a_day(world: World) -> None:
    booking_id = await booked_long_ago(world, DAY - A_MOMENT)
    await booked_long_ago(world, DAY + A_MOMENT)

    assert [await reminders.sweep(world.database, DAY) for _ in range(2)] == [1, 0]

    (event,) = await world.events("booking.reminder_due")
    (row,) = await world.sql("SELECT * FROM bookings WHERE id = :id", id=booking_id)
    (slot,) = await world.sql("SELECT * FROM slots WHERE id = :id", id=row.slot_id)
    assert event == {
        "event_type": "booking.reminder_due",
        "booking_id": str(booking_id),
        "user_id": str(row.user_id),
        "clinic_id": str(row.clinic_id),
        "reference_code": row.reference_code,
        "service_id": str(row.service_id),
        "slot_date": row.slot_date.isoformat(),
        "slot_time": f"{slot.slot_start_time:%H:%M}",
        "starts_at": row.starts_at.isoformat(),
    }


async def test_who_books_within_the_day_needs_no_reminder(world: World) -> None:
    await world.book(new_id(), await world.open_slot(DAY - A_MOMENT))
    assert await reminders.sweep(world.database, DAY) == 0


async def test_what_begins_later_is_reminded_of_when_its_time_comes(world: World) -> None:
    await world.book(new_id(), await world.open_slot(DAY + A_MOMENT))
    assert await reminders.sweep(world.database, DAY) == 0
    await world.sql(
        "UPDATE bookings SET starts_at = starts_at - CAST(:passed AS interval),"
        " start_told_at = start_told_at - CAST(:passed AS interval)",
        passed=2 * A_MOMENT,
    )
    assert await reminders.sweep(world.database, DAY) == 1


async def test_what_has_begun_or_is_over_is_not_reminded_of(world: World) -> None:
    for status in ("in-progress", "completed", "cancelled", "no-show"):
        booking_id = await booked_long_ago(world, timedelta(hours=2))
        await world.sql("UPDATE bookings SET status = :status WHERE id = :id", status=status, id=booking_id)
    has_begun = await booked_long_ago(world, timedelta(hours=2))
    await world.sql(
        "UPDATE bookings SET starts_at = clock_timestamp() - interval '1 second' WHERE id = :id", id=has_begun
    )
    assert await reminders.sweep(world.database, DAY) == 0


async def test_a_cancellation_under_way_holds_the_reminder_back_until_it_is_refused(world: World) -> None:
    booking_id = await booked_long_ago(world, timedelta(hours=2))
    change = "UPDATE bookings SET cancellation_status = :status WHERE id = :id"
    await world.sql(change, status="requested", id=booking_id)
    assert await reminders.sweep(world.database, DAY) == 0
    await world.sql(change, status="refused", id=booking_id)
    assert await reminders.sweep(world.database, DAY) == 1


async def test_a_moved_booking_is_reminded_of_at_its_new_time_and_no_more_at_the_old_one(world: World) -> None:
    booking_id = await booked_long_ago(world, timedelta(hours=20))
    assert await reminders.sweep(world.database, DAY) == 1
    await move(world, booking_id, timedelta(days=3))
    assert await reminders.sweep(world.database, DAY) == 0
    assert await reminders.sweep(world.database, timedelta(days=3)) == 0, "told of the move within that time"
    await world.sql(
        "UPDATE bookings SET starts_at = starts_at - interval '50 hours',"
        " start_told_at = created_at - interval '9 days'"
    )
    assert await reminders.sweep(world.database, DAY) == 1
    assert await reminded(world) == [str(booking_id)] * 2


async def test_a_move_within_the_day_is_its_own_reminder(world: World) -> None:
    booking_id = await booked_long_ago(world, timedelta(days=3))
    await move(world, booking_id, timedelta(hours=20))
    assert await reminders.sweep(world.database, DAY) == 0


async def test_many_sweeps_at_once_remind_of_each_booking_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reminders, "BATCH", 7)
    booked = [str(await booked_long_ago(world, timedelta(hours=n + 1))) for n in range(20)]

    async with world.database.transaction() as tx:
        told_at = (await tx.execute(text("SELECT max(start_told_at) FROM bookings"))).scalar_one()

    for _ in range(40):  # two sweeps that met at one booking could take the database down
        await asyncio.gather(*(reminders.remind_all(world.database, DAY.total_seconds()) for _ in range(8)))
        await reminders.remind_all(world.database, DAY.total_seconds())
        assert sorted(await reminded(world)) == sorted(booked)
        async with world.database.transaction() as tx:
            await tx.execute(text("UPDATE bookings SET start_told_at = :told_at"), {"told_at": told_at})
            await tx.execute(text("DELETE FROM outbox"))


async def test_a_sweep_passes_over_a_booking_that_somebody_is_changing(world: World) -> None:
    booking_id, other = [await booked_long_ago(world, timedelta(hours=n)) for n in (5, 6)]
    async with world.database.transaction() as tx:
        await store.lock_booking(tx, booking_id)
        assert await reminders.sweep(world.database, DAY) == 1
    assert await reminded(world) == [str(other)]
    assert await reminders.sweep(world.database, DAY) == 1


@pytest.mark.parametrize(("moment", "told"), [(Moment.BEFORE_COMMIT, 0), (Moment.AFTER_COMMIT, 1)])
async def test_a_sweep_that_dies_leaves_all_or_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: Moment, told: int
) -> None:
    booking_id = await booked_long_ago(world, timedelta(hours=5))

    def die(passed: Moment, place: str | None = None) -> None:
        if (passed, place) == (moment, "reminders"):
            raise RuntimeError("killed")

    with monkeypatch.context() as armed:
        armed.setattr(kill_points, "reach", die)
        with pytest.raises(RuntimeError, match="killed"):
            await reminders.sweep(world.database, DAY)
    assert await reminded(world) == [str(booking_id)] * told

    await reminders.sweep(world.database, DAY)

    assert await reminded(world) == [str(booking_id)]


async def test_the_reminders_job_reminds_of_everything_with_the_time_of_the_settings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ThreeHours:
        reminder_seconds = 3 * 3600.0

        @classmethod
        def load(cls) -> Any:
            return cls

    monkeypatch.setattr("petpro_booking.jobs.Settings", ThreeHours)
    soon, _ = [await booked_long_ago(world, timedelta(hours=n)) for n in (2, 4)]
    await JOBS["reminders"](world.database)
    assert await reminded(world) == [str(soon)]
    assert Settings.model_fields["reminder_seconds"].default == DAY.total_seconds()


async def test_whom_to_remind_is_found_by_its_index(world: World) -> None:
    await booked_long_ago(world, DAY + A_MOMENT)
    await world.sql(_MORE)
    await world.sql("ANALYZE bookings")
    wanted = store._TAKE_DUE_REMINDERS.text.replace(":ahead", "'24 hours'").replace(":batch", "100")
    plan = "\n".join(row[0] for row in await world.sql(f"EXPLAIN {wanted}"))
    assert "Index Cond: ((starts_at > statement_timestamp()) AND (starts_at <= (statement_timestamp()" in plan, plan
