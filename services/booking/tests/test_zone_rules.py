"""A government changes its clock: slots keep their local times, and what is in them follows."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from petpro_booking import bookings, store, store_slots, zone_rules
from petpro_booking.jobs import JOBS
from petpro_common.db import Database
from petpro_common.ids import new_id
from services.booking.tests.clock_change import (
    DAY,
    EIGHT_BEHIND,
    HALF_PAST,
    SEVEN_BEHIND,
    Government,
    all_slots,
    diary_of,
    generate,
    must_be_by,
)
from services.booking.tests.test_refund_quotes import quote
from services.booking.tests.world import World

Connect = Callable[[], Database]


@pytest.mark.parametrize("has_person", [True, False])
async def test_slots_are_not_made_twice_when_the_clock_has_changed(
    world: World, government: Government, has_person: bool
) -> None:
    doctor = world.catalog.add_staff(world.clinic_id) if has_person else None
    assert await generate(world, doctor) == (6, 0)
    government.decides(SEVEN_BEHIND, "2026b")
    assert await generate(world, doctor) == (0, 6)


@pytest.mark.parametrize("has_person", [True, False])
@pytest.mark.parametrize("offset", [SEVEN_BEHIND, -HALF_PAST, HALF_PAST, timedelta(hours=-9)])
async def test_slots_that_touch_around_the_clock_all_move_in_small_batches(
    world: World, government: Government, monkeypatch: pytest.MonkeyPatch, offset: timedelta, has_person: bool
) -> None:
    night_clinic = world.catalog.add_clinic(world.ani, "America/Vancouver", "00:00", "00:00")
    service = world.catalog.add_service(night_clinic)
    doctor = world.catalog.add_staff(night_clinic) if has_person else None
    assert await generate(world, doctor, days=3, service_id=service) == (144, 0)
    await must_be_by(EIGHT_BEHIND, world)
    monkeypatch.setattr(zone_rules, "BATCH", 7)

    government.decides(offset, "2026b")
    with capture_logs() as log:
        await JOBS["zone-rules"](world.database)

    await must_be_by(offset, world)
    assert [each["slots"] for each in log if "slots" in each] == [144], "each made room for the next"
    assert {slot.status for slot in await all_slots(world)} == {"available"}


@pytest.mark.parametrize(("offset", "back"), [(SEVEN_BEHIND, 100), (timedelta(hours=-9), 0)])
async def test_what_was_owed_stays_owed_of_what_begins_earlier(
    world: World, government: Government, offset: timedelta, back: int
) -> None:
    """An hour earlier it is past the tier's boundary. What begins later, nobody loses."""
    await generate(world)
    first, *_ = await all_slots(world)
    budi = new_id()
    booking_id, unpaid = await world.book(budi, first.id), (await all_slots(world))[1]
    await world.book(budi, unpaid.id, is_paid=False)
    hours = (first.starts_at - datetime.now(UTC)) // timedelta(hours=1)
    tiers = f'[{{"min_hours_before": {hours}, "refund_percent": 100}}]'
    await world.sql(
        "UPDATE bookings SET cancellation_policy = jsonb_set(cancellation_policy, '{tiers}', CAST(:tiers AS jsonb))"
        " RETURNING id",
        tiers=tiers,
    )
    government.decides(offset, "2026b")
    assert not await zone_rules.move_all(world.database)
    told = await quote(world, booking_id, world.signed_in(budi))
    assert told.refund_percent == 100
    kept = await world.sql("SELECT refund_floor FROM bookings ORDER BY starts_at")
    assert [row.refund_floor for row in kept] == [back, 0]


async def test_holds_and_bookings_follow_and_who_is_booked_hears_of_it(world: World, government: Government) -> None:
    await generate(world)
    first, second, third, *_ = await all_slots(world)
    budi, booking_id = new_id(), await world.book(new_id(), first.id)
    held = await world.hold(budi, second.id)
    await world.sql("UPDATE reservations SET expires_at = starts_at WHERE id = :id RETURNING id", id=UUID(held.id))
    cancelled = await world.book(new_id(), third.id)
    ended = "UPDATE bookings SET status = 'cancelled', cancellation_status = 'cancelled' WHERE id = :id RETURNING id"
    await world.sql(ended, id=cancelled)

    government.decides(SEVEN_BEHIND, "2026b")
    assert not await zone_rules.move_all(world.database)

    hour = timedelta(hours=1)
    [booking] = await world.sql("SELECT * FROM bookings WHERE id = :id", id=booking_id)
    assert (booking.starts_at, booking.ends_at) == (first.starts_at - hour, first.ends_at - hour)
    [reservation] = await world.sql("SELECT * FROM reservations WHERE id = :id", id=UUID(held.id))
    assert reservation.expires_at == reservation.starts_at == second.starts_at - hour
    [event] = await world.events("booking.rescheduled")
    assert event["booking_id"] == str(booking_id)
    assert (event["slot_date"], event["slot_time"]) == (DAY.isoformat(), "09:00")
    assert datetime.fromisoformat(event["starts_at"]) == booking.starts_at
    assert datetime.fromisoformat(event["ends_at"]) == booking.ends_at
    [gone] = await world.sql("SELECT * FROM bookings WHERE id = :id", id=cancelled)
    assert gone.starts_at == third.starts_at, "what it gave back was reckoned by"


async def test_nothing_is_done_where_nothing_has_changed(world: World, government: Government) -> None:
    await generate(world)
    await world.book(new_id(), (await all_slots(world))[0].id)
    before = await all_slots(world)
    government.decides(EIGHT_BEHIND, "2026b")
    assert not await zone_rules.move_all(world.database)
    assert await all_slots(world) == before
    assert await world.events("booking.rescheduled") == []


async def test_what_has_begun_stays(world: World, government: Government) -> None:
    await generate(world)
    await world.sql("""
        UPDATE slots SET starts_at = starts_at - interval '11 days', ends_at = ends_at - interval '11 days' RETURNING id
    """)
    before = await all_slots(world)
    government.decides(SEVEN_BEHIND, "2026b")
    assert not await zone_rules.move_all(world.database)
    assert await all_slots(world) == before


async def test_older_rules_move_nothing_back(world: World, government: Government) -> None:
    await generate(world)
    government.decides(SEVEN_BEHIND, "2026b")
    await zone_rules.move_all(world.database)
    government.decides(EIGHT_BEHIND, "2026a")
    assert not await zone_rules.move_all(world.database)
    await must_be_by(SEVEN_BEHIND, world)


async def test_older_rules_that_were_at_work_move_nothing_after_newer_took_over(
    world: World, government: Government
) -> None:
    await generate(world)
    government.decides(SEVEN_BEHIND, "2026b")
    wanted = zone_rules.stale(await diary_of(world, world.service_id))
    await world.sql("UPDATE zone_rules SET release = '2026c' RETURNING release")
    async with world.database.transaction() as tx:
        assert await zone_rules.move(tx, world.service_id, wanted) == (0, {slot.id for slot, _ in wanted})
    await must_be_by(EIGHT_BEHIND, world)


async def test_a_booking_that_is_being_made_follows_once_it_is(
    world: World, government: Government, connect: Connect
) -> None:
    await generate(world)
    first, *_ = await all_slots(world)
    held = await world.hold(new_id(), first.id)
    government.decides(SEVEN_BEHIND, "2026b")

    async with connect().transaction() as confirming:
        reservation = await store.lock_reservation(confirming, UUID(held.id))
        assert reservation is not None
        await bookings.confirm(confirming, [bookings.Paid(reservation, new_id(), new_id())])
        await confirming.flush()
        assert await asyncio.wait_for(zone_rules.move_all(world.database), 5), "it is left, and waited for by nobody"
        [unmoved] = await world.sql("SELECT * FROM slots WHERE id = :id", id=first.id)
        assert unmoved.starts_at == first.starts_at

    assert not await zone_rules.move_all(world.database)
    await must_be_by(SEVEN_BEHIND, world)
    [booking] = await world.sql("SELECT * FROM bookings")
    assert booking.starts_at == first.starts_at - timedelta(hours=1)
    assert {slot.status for slot in await all_slots(world)} == {"available", "booked"}


async def test_who_makes_slots_is_waited_for_by_nobody(world: World, government: Government, connect: Connect) -> None:
    await generate(world)
    government.decides(SEVEN_BEHIND, "2026b")
    async with connect().transaction() as generating:
        store_slots.lock_diary(generating, world.service_id)
        await generating.flush()
        await store.get_slot(generating, new_id())
        assert await asyncio.wait_for(zone_rules.move_all(world.database), 5)
        await must_be_by(EIGHT_BEHIND, world)
    assert not await zone_rules.move_all(world.database)
    await must_be_by(SEVEN_BEHIND, world)


async def test_a_cancellation_under_way_ends_first(world: World, government: Government) -> None:
    await generate(world)
    first, *_ = await all_slots(world)
    booking_id = await world.book(new_id(), first.id)
    put = "UPDATE bookings SET cancellation_status = :status WHERE id = :id RETURNING id"
    await world.sql(put, status="requested", id=booking_id)
    government.decides(SEVEN_BEHIND, "2026b")
    assert await zone_rules.move_all(world.database)
    [booking] = await world.sql("SELECT * FROM bookings")
    assert booking.starts_at == first.starts_at

    await world.sql(put, status="refused", id=booking_id)
    assert not await zone_rules.move_all(world.database)
    [booking] = await world.sql("SELECT * FROM bookings")
    assert booking.starts_at == first.starts_at - timedelta(hours=1)
    await must_be_by(SEVEN_BEHIND, world)


async def test_two_replicas_move_each_slot_once(world: World, government: Government, connect: Connect) -> None:
    for _ in range(4):
        doctor = world.catalog.add_staff(world.clinic_id)
        await generate(world, doctor, days=4)
    booked = [await world.book(new_id(), slot.id) for slot in (await all_slots(world))[::10]]
    government.decides(SEVEN_BEHIND, "2026b")
    replicas = connect(), connect()
    while any(await asyncio.gather(*map(zone_rules.move_all, replicas))):
        pass
    await must_be_by(SEVEN_BEHIND, world)
    told = [event["booking_id"] for event in await world.events("booking.rescheduled")]
    assert sorted(told) == sorted(map(str, booked))
