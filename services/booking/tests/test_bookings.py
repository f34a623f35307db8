"""Bookings from the confirmation to the end of the visit."""

import asyncio
import re
from datetime import UTC, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from psycopg import IntegrityError

from petpro.booking.v1 import booking_pb2
from petpro_booking import bookings, domain, store
from petpro_common.context import Role
from petpro_common.db import Row
from petpro_common.ids import new_id
from services.booking.tests.world import Metadata, World, reason


async def get(world: World, booking_id: UUID, metadata: Metadata) -> booking_pb2.Booking:
    ask = booking_pb2.GetBookingRequest(booking_id=str(booking_id))
    return (await world.bookings.GetBooking(ask, metadata=metadata)).booking


async def move(world: World, booking_id: UUID, slot_id: UUID, metadata: Metadata) -> booking_pb2.Booking:
    ask = booking_pb2.RescheduleBookingRequest(booking_id=str(booking_id), slot_id=str(slot_id))
    return (await world.bookings.RescheduleBooking(ask, metadata=metadata)).booking


async def test_a_paid_hold_becomes_a_booking_with_the_documents_event(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    booking_id = await world.book(budi, slot_id)

    booking = await get(world, booking_id, world.signed_in(budi))

    assert booking.status == booking_pb2.BOOKING_STATUS_CONFIRMED
    assert re.fullmatch("PP-[2-9A-Z]{8}", booking.reference_code)
    assert booking.amount.amount == "150000.00"
    [event] = await world.events("booking.confirmed")
    assert event == {
        "event_type": "booking.confirmed",
        "booking_id": str(booking_id),
        "reference_code": booking.reference_code,
        "user_id": str(budi),
        "pet_id": booking.pet_id,
        "clinic_id": str(world.clinic_id),
        "service_id": str(world.service_id),
        "slot_date": booking.starts_at.ToDatetime().date().isoformat(),
        "slot_time": booking.starts_at.ToDatetime().strftime("%H:%M"),
        "starts_at": booking.starts_at.ToDatetime(UTC).isoformat(),
        "ends_at": booking.ends_at.ToDatetime(UTC).isoformat(),
        "amount": "150000.00",
        "paid_amount": "150000.00",
        "currency": "IDR",
    }
    assert await world.seats(slot_id) == (1, "booked")


async def test_one_reservation_never_becomes_two_bookings(world: World) -> None:
    held = await world.hold(new_id(), await world.open_slot())
    async with world.database.transaction() as tx:
        reservation = await store.lock_reservation(tx, UUID(held.id))
    assert reservation is not None

    async def confirm() -> None:
        async with world.database.transaction() as tx:
            await bookings.confirm(tx, [bookings.Paid(reservation, new_id(), None)])

    await confirm()
    with pytest.raises(IntegrityError, match="reservation_id"):
        await confirm()


async def test_a_reference_code_that_is_taken_is_drawn_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter(["PP-22222222", "PP-22222222", "PP-33333333"])
    monkeypatch.setattr(bookings, "new_reference_code", lambda: next(codes))

    made = [await world.book(new_id(), await world.open_slot()) for _ in range(2)]

    found = [await get(world, booking_id, world.as_ani) for booking_id in made]
    assert [booking.reference_code for booking in found] == ["PP-22222222", "PP-33333333"]
    assert domain.new_reference_code() not in ("PP-22222222", "PP-33333333")


async def test_no_booking_is_made_for_a_slot_that_is_gone(world: World) -> None:
    held = await world.hold(new_id(), await world.open_slot())
    gone = SimpleNamespace(id=UUID(held.id), slot_id=new_id())
    async with world.database.transaction() as tx:
        with pytest.raises(LookupError, match=held.id):
            await bookings.confirm(tx, [bookings.Paid(cast(Row, gone), new_id(), None)])


async def test_who_sees_a_booking(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    as_payment = (("authorization", f"Bearer {world.keys.service('payment')}"),)

    for allowed in (world.signed_in(budi), world.as_ani, world.signed_in(new_id(), Role.ADMIN), as_payment):
        assert (await get(world, booking_id, allowed)).id == str(booking_id)
    for stranger in (world.signed_in(new_id()), world.signed_in(new_id(), Role.CLINIC)):
        assert await reason(get(world, booking_id, stranger)) == "BOOKING_NOT_FOUND"


async def test_a_booking_moves_with_its_seat(world: World) -> None:
    budi, old, new = new_id(), await world.open_slot(), await world.open_slot(timedelta(days=40))
    booking_id = await world.book(budi, old)

    moved = await move(world, booking_id, new, world.signed_in(budi))

    assert (await world.seats(old), await world.seats(new)) == ((0, "available"), (1, "booked"))
    assert moved.slot_id == str(new)
    [event] = await world.events("booking.rescheduled")
    assert event["slot_date"] == moved.starts_at.ToDatetime().date().isoformat()
    assert event["starts_at"] == moved.starts_at.ToDatetime(UTC).isoformat()
    assert event["ends_at"] == moved.ends_at.ToDatetime(UTC).isoformat()


async def test_moves_that_are_refused_change_nothing(world: World) -> None:
    budi, old = new_id(), await world.open_slot()
    booking_id = await world.book(budi, old)
    full, begun = await world.open_slot(timedelta(days=3)), await world.open_slot(timedelta(minutes=-1))
    await world.hold(new_id(), full)
    other_service = await world.open_slot(service_id=world.catalog.add_service(world.clinic_id))
    mine = world.signed_in(budi)

    assert await reason(move(world, booking_id, full, mine)) == "SLOT_FULL"
    assert await reason(move(world, booking_id, begun, mine)) == "SLOT_IN_PAST"
    assert await reason(move(world, booking_id, other_service, mine)) == "OTHER_SERVICE"
    assert await reason(move(world, booking_id, new_id(), mine)) == "SLOT_NOT_FOUND"
    assert await reason(move(world, booking_id, old, mine)) == "INVALID_REQUEST"
    assert await reason(move(world, booking_id, full, world.signed_in(new_id()))) == "BOOKING_NOT_FOUND"
    await world.sql("UPDATE bookings SET cancellation_status = 'requested'")
    free = await world.open_slot(timedelta(days=5))
    assert await reason(move(world, booking_id, free, mine)) == "CANCELLATION_IN_PROGRESS"
    assert await world.seats(old) == (1, "booked")


async def test_once_it_has_begun_only_the_clinic_moves_a_booking(world: World) -> None:
    budi, old, new = new_id(), await world.open_slot(), await world.open_slot(timedelta(days=3))
    booking_id = await world.book(budi, old)
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp()")

    assert await reason(move(world, booking_id, new, world.signed_in(budi))) == "BOOKING_HAS_BEGUN"
    assert (await move(world, booking_id, new, world.as_ani)).slot_id == str(new)


async def test_of_ten_who_want_the_last_seat_one_moves(world: World) -> None:
    wanted = await world.open_slot()
    old_slots = [await world.open_slot(timedelta(days=3)) for _ in range(10)]
    people = [new_id() for _ in old_slots]
    made = [await world.book(person, slot_id) for person, slot_id in zip(people, old_slots, strict=True)]

    moves = (move(world, made[n], wanted, world.signed_in(people[n])) for n in range(10))
    outcomes = await asyncio.gather(*moves, return_exceptions=True)

    assert sum(isinstance(outcome, booking_pb2.Booking) for outcome in outcomes) == 1
    assert await world.seats(wanted) == (1, "booked")
    assert sorted([await world.seats(slot_id) for slot_id in old_slots])[:2] == [(0, "available"), (1, "booked")]


async def test_people_who_swap_places_do_not_wait_for_each_other_in_a_circle(world: World) -> None:
    """Each slot has one seat more than bookings, and both directions run at once, many times."""
    one, other = await world.open_slot(capacity=6), await world.open_slot(capacity=6)
    people = [new_id() for _ in range(10)]
    made = [await world.book(person, one if n < 5 else other) for n, person in enumerate(people)]
    at = [one] * 5 + [other] * 5

    for _ in range(10):
        targets = [other if place == one else one for place in at]
        moves = (move(world, made[n], targets[n], world.signed_in(people[n])) for n in range(10))
        outcomes: list[Any] = await asyncio.gather(*moves, return_exceptions=True)
        for n, outcome in enumerate(outcomes):
            if isinstance(outcome, booking_pb2.Booking):
                at[n] = targets[n]
            else:
                assert await reason(_raise(outcome)) == "SLOT_FULL"

    assert (await world.seats(one))[0] == at.count(one)
    assert (await world.seats(other))[0] == at.count(other)


async def _raise(fault: BaseException) -> None:
    raise fault


async def test_a_visit_goes_from_check_in_to_completed(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    check_in = booking_pb2.CheckInBookingRequest(booking_id=str(booking_id))
    complete = booking_pb2.CompleteBookingRequest(booking_id=str(booking_id))

    assert await reason(world.bookings.CompleteBooking(complete, metadata=world.as_ani)) == "WRONG_BOOKING_STATUS"
    mine = world.bookings.CheckInBooking(check_in, metadata=world.signed_in(budi))
    assert await reason(mine) == "BOOKING_NOT_FOUND"
    early = world.bookings.CheckInBooking(check_in, metadata=world.as_ani)
    assert await reason(early) == "BOOKING_HAS_NOT_BEGUN"
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp()")
    begun = await world.bookings.CheckInBooking(check_in, metadata=world.as_ani)
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp() + interval '1 hour'")
    unseen = world.bookings.CompleteBooking(complete, metadata=world.as_ani)
    assert await reason(unseen) == "BOOKING_HAS_NOT_BEGUN"
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp()")
    ended = await world.bookings.CompleteBooking(complete, metadata=world.as_ani)

    assert begun.booking.status == booking_pb2.BOOKING_STATUS_IN_PROGRESS
    assert ended.booking.status == booking_pb2.BOOKING_STATUS_COMPLETED
    [event] = await world.events("booking.completed")
    assert sorted(event) == ["booking_id", "clinic_id", "completed_at", "event_type", "service_id", "user_id"]


async def test_nobody_is_a_no_show_before_the_time(world: World) -> None:
    booking_id = await world.book(new_id(), await world.open_slot())
    no_show = booking_pb2.MarkBookingNoShowRequest(booking_id=str(booking_id))

    early = world.bookings.MarkBookingNoShow(no_show, metadata=world.as_ani)
    assert await reason(early) == "BOOKING_HAS_NOT_BEGUN"
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp()")
    marked = await world.bookings.MarkBookingNoShow(no_show, metadata=world.as_ani)

    assert marked.booking.status == booking_pb2.BOOKING_STATUS_NO_SHOW
    assert len(await world.events("booking.no_show")) == 1


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_pages_of_bookings_are_complete_and_newest_first(world: World, size: int) -> None:
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot(capacity=20)
    mine = [str(await world.book(budi, slot_id)) for _ in range(7)]
    theirs = [str(await world.book(citra, slot_id)) for _ in range(3)]

    assert await _all_bookings(world, world.signed_in(budi), page_size=size) == mine[::-1]
    of_clinic = {"clinic_id": str(world.clinic_id), "page_size": size}
    assert await _all_bookings(world, world.as_ani, **of_clinic) == (mine + theirs)[::-1]
    completed = {"status": booking_pb2.BOOKING_STATUS_COMPLETED}
    assert await _all_bookings(world, world.signed_in(budi), **completed) == []
    strangers = _all_bookings(world, world.signed_in(citra), clinic_id=str(world.clinic_id))
    assert await reason(strangers) == "CLINIC_NOT_FOUND"


async def _all_bookings(world: World, metadata: Metadata, **ask: Any) -> list[str]:
    request, seen = booking_pb2.ListBookingsRequest(**ask), []
    while True:
        page = await world.bookings.ListBookings(request, metadata=metadata)
        seen += [booking.id for booking in page.bookings]
        if not page.next_page_token:
            return seen
        request.page_token = page.next_page_token
