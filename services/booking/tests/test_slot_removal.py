"""Slots that nobody has held or booked are taken away, and what was in their way can be made."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_booking import bookings, holds, slots, store
from petpro_booking.domain import SlotFull, SlotInUse, SlotNotFound
from petpro_booking.holds import HoldRequest
from petpro_common import zones
from petpro_common.context import Caller, Role
from petpro_common.db import Database
from petpro_common.ids import new_id
from services.booking.tests.conftest import FOR_MANY
from services.booking.tests.test_slots import generate, wish
from services.booking.tests.world import Metadata, World, reason, until_somebody_waits

ADMIN = Caller(str(new_id()), Role.ADMIN)


async def remove(world: World, slot_id: Any, metadata: Metadata | None = None, request_id: str = "") -> None:
    request = booking_pb2.RemoveSlotRequest(slot_id=str(slot_id), request_id=request_id)
    await world.slots.RemoveSlot(request, metadata=world.as_ani if metadata is None else metadata)


async def all_slots(world: World) -> Sequence[booking_pb2.Slot]:
    return (await world.slots.ListSlots(booking_pb2.ListSlotsRequest(service_id=str(world.service_id)))).slots


async def test_slots_of_a_wrong_duration_make_room_for_others_of_the_same_person(world: World) -> None:
    doctor = world.catalog.add_staff(world.clinic_id)
    assert await generate(world, wish(world, staff_id=doctor)) == (6, 0)
    service = world.catalog.services[str(world.service_id)]
    service.duration_minutes, service.version = 60, 2
    assert await generate(world, wish(world, staff_id=doctor)) == (0, 3)

    made = await all_slots(world)
    for slot in made[::2]:
        await world.slots.BlockSlot(booking_pb2.BlockSlotRequest(slot_id=slot.id), metadata=world.as_ani)
    for slot in made:
        await remove(world, slot.id)

    assert not await all_slots(world)
    assert not await world.sql("SELECT FROM staff_occupancy")
    assert await generate(world, wish(world, staff_id=doctor)) == (3, 0)


async def test_slots_of_the_night_that_goes_on_can_be_made_again(world: World) -> None:
    zone = _where_it_has_just_struck_midnight()
    night_clinic = world.catalog.add_clinic(world.ani, zone, "20:00", "04:00")
    night = world.catalog.add_service(night_clinic)
    today = datetime.now(zones.zone(zone)).date()
    yesterday = (today - timedelta(days=1)).isoformat()
    request = wish(world, service_id=night)
    request.from_date = request.to_date = yesterday

    made, past = await generate(world, request)
    assert made in (5, 6, 7)
    assert made + past == 16
    ask = booking_pb2.ListSlotsRequest(service_id=str(night))
    slots_to_come = (await world.slots.ListSlots(ask)).slots
    assert {slot.slot_date for slot in slots_to_come} == {today.isoformat()}
    await remove(world, slots_to_come[-1].id)
    assert await generate(world, request) == (1, 15)

    request.service_id = str(world.catalog.add_service(world.catalog.add_clinic(world.ani, zone)))
    assert await reason(generate(world, request)) == "INVALID_REQUEST"


def _where_it_has_just_struck_midnight() -> str:
    hour = datetime.now(UTC).hour
    return f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"


async def test_who_does_not_act_for_the_clinic_removes_nothing(world: World) -> None:
    await world.hold(new_id(), await world.open_slot())  # booking has heard of the clinic
    slot_id = await world.open_slot(timedelta(days=3))
    for stranger in (world.signed_in(new_id()), world.signed_in(new_id(), Role.CLINIC)):
        assert await reason(remove(world, slot_id, stranger)) == "CLINIC_NOT_FOUND"
    assert await reason(remove(world, slot_id, ())) == "UNAUTHENTICATED"
    assert await world.seats(slot_id) == (0, "available")
    assert await reason(remove(world, new_id())) == "SLOT_NOT_FOUND"
    await remove(world, slot_id, world.signed_in(new_id(), Role.ADMIN))


async def test_a_removal_that_is_asked_for_again_is_told_the_same_under_its_request_id(world: World) -> None:
    await world.hold(new_id(), await world.open_slot())
    slot_id, other = [await world.open_slot(timedelta(days=day)) for day in (3, 4)]
    await remove(world, slot_id, request_id="once")
    await remove(world, slot_id, request_id="once")
    assert await reason(remove(world, other, request_id="once")) == "REQUEST_ID_REUSED"
    assert await reason(remove(world, slot_id)) == "SLOT_NOT_FOUND"
    assert await reason(world.hold(new_id(), slot_id)) == "SLOT_NOT_FOUND"
    assert await world.seats(other) == (0, "available")


async def test_what_somebody_has_held_or_booked_stays(world: World) -> None:
    held, run_out, given_back, booked = [await world.open_slot(timedelta(days=day)) for day in (2, 3, 4, 5)]
    budi = new_id()
    await world.hold(budi, held)
    await world.run_out((await world.hold(budi, run_out)).id)
    reservation = await world.hold(budi, given_back)
    await world.reservations.CancelReservation(
        booking_pb2.CancelReservationRequest(reservation_id=reservation.id), metadata=world.signed_in(budi)
    )
    await world.book(budi, booked)

    for slot_id in (held, run_out, given_back, booked):
        await world.slots.BlockSlot(booking_pb2.BlockSlotRequest(slot_id=str(slot_id)), metadata=world.as_ani)
        assert await reason(remove(world, slot_id)) == "SLOT_IN_USE"
    assert len(await all_slots(world)) == 4


async def test_of_a_move_and_a_removal_at_one_instant_the_first_wins(
    world: World, connect: Callable[[], Database]
) -> None:
    first, second, third = [await world.open_slot(timedelta(days=day)) for day in (2, 3, 4)]
    booking_id = await world.book(new_id(), first)
    one, other = connect(), connect()

    async with one.transaction() as tx:
        await bookings.reschedule(tx, ADMIN, booking_id, second)
        removing = asyncio.create_task(outcome_of(other, second))
        await until_somebody_waits(world, 1)
    assert isinstance(await removing, SlotInUse)

    async with other.transaction() as tx:
        await slots.remove(tx, ADMIN, third)
        moving = asyncio.create_task(move(one, booking_id, third))
        await until_somebody_waits(world, 1)
    with pytest.raises(SlotNotFound):
        await moving
    assert await world.seats(second) == (1, "booked")


@pytest.mark.parametrize("size", [2, 1], ids=["together", "alone"])
async def test_of_a_hold_and_a_removal_at_one_instant_the_first_wins(
    world: World, connect: Callable[[], Database], size: int
) -> None:
    budi = new_id()
    milo = await world.known_pet(budi)
    await world.hold(budi, await world.open_slot(), milo)
    kept, gone = [await world.open_slot(timedelta(days=day), capacity=2) for day in (3, 4)]
    one, other = connect(), connect()

    async with one.transaction() as tx:
        held = await holds.hold(tx, [HoldRequest(budi, kept, milo, None)] * size, FOR_MANY)
        removing = asyncio.create_task(outcome_of(other, kept))
        await until_somebody_waits(world, 1)
    assert isinstance(await removing, SlotInUse)
    assert {type(outcome) for outcome in held} == {booking_pb2.CreateReservationResponse}
    assert await world.seats(kept) == (size, "booked" if size == 2 else "available")

    async with other.transaction() as tx:
        await slots.remove(tx, ADMIN, gone)
        holding = asyncio.create_task(outcomes_of_holds(one, [HoldRequest(budi, gone, milo, None)] * size))
        await until_somebody_waits(world, 1)
    assert {type(outcome) for outcome in await holding} == {SlotFull}
    assert not await world.sql("SELECT FROM reservations WHERE slot_id = :id", id=gone)


async def test_a_crowd_of_holds_and_removals_has_one_winner_for_each_slot(
    world: World, connect: Callable[[], Database]
) -> None:
    budi = new_id()
    milo = await world.known_pet(budi)
    await world.hold(budi, await world.open_slot(), milo)
    one, other = connect(), connect()
    for hour in range(24):
        slot_id = await world.open_slot(timedelta(days=3, hours=hour))
        hold = outcomes_of_holds(one, [HoldRequest(budi, slot_id, milo, None)])
        contest = [hold, outcome_of(other, slot_id), outcome_of(one, slot_id)]
        if hour % 2:
            contest.reverse()
        done = await asyncio.gather(*contest)
        removals = [outcome for outcome in done if not isinstance(outcome, list)]
        [held] = next(outcome for outcome in done if isinstance(outcome, list))
        is_held = isinstance(held, booking_pb2.CreateReservationResponse)
        assert {type(outcome) for outcome in removals} == ({SlotInUse} if is_held else {type(None), SlotNotFound})
        assert is_held or isinstance(held, SlotFull | SlotNotFound)


async def test_who_gives_a_hold_back_and_who_removes_its_slot_do_not_wait_for_each_other_in_a_circle(
    world: World, connect: Callable[[], Database]
) -> None:
    slot_id = await world.open_slot()
    held = await world.hold(new_id(), slot_id)
    one, other = connect(), connect()

    async with one.transaction() as tx:
        await store.lock_reservation(tx, UUID(held.id))
        assert isinstance(await asyncio.wait_for(outcome_of(other, slot_id), 5), SlotInUse)
        await store.give_back(tx, UUID(held.id))
        store.free_seat(tx, slot_id)
    assert await world.seats(slot_id) == (0, "available")


async def test_a_removal_waits_for_no_hold_that_was_made_while_it_waited_for_the_slot(
    world: World, connect: Callable[[], Database]
) -> None:
    budi = new_id()
    milo = await world.known_pet(budi)
    await world.hold(budi, await world.open_slot(), milo)
    slot_id = await world.open_slot(timedelta(days=3), capacity=2)
    one, other, third = connect(), connect(), connect()
    has_key, may_end = asyncio.Event(), asyncio.Event()

    async def share_key() -> None:
        """As one does who refers to the slot."""
        async with third.transaction() as tx:
            await tx.execute(text("SELECT FROM slots WHERE id = :id FOR KEY SHARE"), {"id": slot_id})
            has_key.set()
            await may_end.wait()

    sharing = asyncio.create_task(share_key())
    await has_key.wait()
    async with one.transaction() as tx:
        [held] = await holds.hold(tx, [HoldRequest(budi, slot_id, milo, None)], FOR_MANY)
        removing = asyncio.create_task(outcome_of(other, slot_id))
        await until_somebody_waits(world, 1)
    assert isinstance(held, booking_pb2.CreateReservationResponse)
    async with one.transaction() as tx:
        await store.lock_reservation(tx, UUID(held.reservation.id))
        may_end.set()
        assert isinstance(await asyncio.wait_for(removing, 5), SlotInUse)
        await store.give_back(tx, UUID(held.reservation.id))
        store.free_seat(tx, slot_id)
    await sharing
    assert await world.seats(slot_id) == (0, "available")


async def test_a_crowd_of_holds_is_given_back_while_their_slots_are_removed(world: World) -> None:
    for hour in range(24):
        budi, slot_id = new_id(), await world.open_slot(timedelta(days=3, hours=hour))
        request = booking_pb2.CancelReservationRequest(reservation_id=(await world.hold(budi, slot_id)).id)
        giving_back = world.reservations.CancelReservation(request, metadata=world.signed_in(budi))
        _, refused = await asyncio.gather(giving_back, reason(remove(world, slot_id)))
        assert refused == "SLOT_IN_USE"


async def outcome_of(database: Database, slot_id: UUID) -> Exception | None:
    """How a removal ends."""
    try:
        async with database.transaction() as tx:
            await slots.remove(tx, ADMIN, slot_id)
    except (SlotInUse, SlotNotFound) as refused:
        return refused
    return None


async def move(database: Database, booking_id: UUID, slot_id: UUID) -> None:
    async with database.transaction() as tx:
        await bookings.reschedule(tx, ADMIN, booking_id, slot_id)


async def outcomes_of_holds(database: Database, requests: list[HoldRequest]) -> list[Any]:
    async with database.transaction() as tx:
        return list(await holds.hold(tx, requests, FOR_MANY))
