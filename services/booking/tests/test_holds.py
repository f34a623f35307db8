"""Holding seats: as many as there are, whoever asks and however often."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from grpc import aio

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.testing import eventually, reason_of
from services.booking.tests.world import World, reason

WISHES = 100


@pytest.mark.parametrize("capacity", [1, 5])
async def test_of_a_hundred_wishes_at_once_as_many_succeed_as_there_are_seats(world: World, capacity: int) -> None:
    slot_id = await world.open_slot(capacity=capacity)
    people = [new_id() for _ in range(WISHES)]

    outcomes = await asyncio.gather(*(world.hold(person, slot_id) for person in people), return_exceptions=True)

    refusals = [reason_of(outcome) for outcome in outcomes if isinstance(outcome, aio.AioRpcError)]
    assert refusals == ["SLOT_FULL"] * (WISHES - capacity)
    assert await world.seats(slot_id) == (capacity, "booked")
    assert len(await world.events("reservation.created")) == capacity


async def test_the_same_request_twice_holds_one_seat_and_answers_the_same(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot(capacity=3)
    milo = world.pets.add_pet(budi)

    answers = [await world.hold(budi, slot_id, milo, "first-try") for _ in range(2)]
    answers += await asyncio.gather(*(world.hold(budi, slot_id, milo, "second-try") for _ in range(10)))

    assert len({answer.id for answer in answers[:2]}) == 1
    assert len({answer.id for answer in answers[2:]}) == 1
    assert await world.seats(slot_id) == (2, "available")
    other_slot = await world.open_slot(timedelta(days=3))
    assert await reason(world.hold(budi, other_slot, milo, "first-try")) == "REQUEST_ID_REUSED"


async def test_one_request_id_may_stand_for_different_acts(world: World) -> None:
    budi = new_id()
    held = await world.hold(budi, await world.open_slot(), request_id="mine")
    pay = booking_pb2.CheckoutReservationRequest(reservation_id=held.id, lock_id=held.lock_id, payment_method="card")
    metadata = (*world.signed_in(budi), ("idempotency-key", "mine"))
    paid = await world.reservations.CheckoutReservation(pay, metadata=metadata)
    assert paid.reservation.checkout_status == booking_pb2.CHECKOUT_STATUS_AWAITING_PAYMENT


async def test_a_hold_says_what_it_will_cost_and_until_when(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    held = await world.hold(budi, slot_id)

    assert (held.price.amount, held.price.currency_code) == ("150000.00", "IDR")
    assert held.status == booking_pb2.RESERVATION_STATUS_PENDING
    assert held.expires_at.seconds - held.created_at.seconds in range(599, 602)
    [event] = await world.events("reservation.created")
    assert event == {
        "event_type": "reservation.created",
        "reservation_id": held.id,
        "user_id": str(budi),
        "pet_id": held.pet_id,
        "service_id": str(world.service_id),
        "slot_id": str(slot_id),
        "expires_at": event["expires_at"],
    }


async def test_only_the_customer_sees_the_secret_of_a_hold(world: World) -> None:
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot()
    held = await world.hold(budi, slot_id)
    ask = booking_pb2.GetReservationRequest(reservation_id=held.id)

    mine = await world.reservations.GetReservation(ask, metadata=world.signed_in(budi))
    clinics = await world.reservations.GetReservation(ask, metadata=world.as_ani)
    admins = await world.reservations.GetReservation(ask, metadata=world.signed_in(new_id(), Role.ADMIN))

    assert mine.reservation.lock_id == held.lock_id
    assert len(held.lock_id) >= 32
    assert (clinics.reservation.lock_id, admins.reservation.lock_id) == ("", "")
    stranger = world.reservations.GetReservation(ask, metadata=world.signed_in(citra))
    assert await reason(stranger) == "RESERVATION_NOT_FOUND"


async def test_slots_that_cannot_be_held_say_why(world: World) -> None:
    budi = new_id()
    begun = await world.open_slot(timedelta(minutes=-5))
    blocked = await world.open_slot(timedelta(days=1))
    full = await world.open_slot(timedelta(days=2))
    await world.hold(new_id(), full)
    block = booking_pb2.BlockSlotRequest(slot_id=str(blocked))
    await world.slots.BlockSlot(block, metadata=world.as_ani)

    assert await reason(world.hold(budi, begun)) == "SLOT_IN_PAST"
    assert await reason(world.hold(budi, blocked)) == "SLOT_BLOCKED"
    assert await reason(world.hold(budi, full)) == "SLOT_FULL"
    assert await reason(world.hold(budi, new_id())) == "SLOT_NOT_FOUND"
    assert await reason(world.hold(budi, uuid4())) == "SLOT_NOT_FOUND"


async def test_nobody_holds_a_seat_for_a_pet_that_is_not_theirs(world: World) -> None:
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot()
    milo = world.pets.add_pet(budi)

    assert await reason(world.hold(citra, slot_id, milo)) == "PET_NOT_FOUND"
    assert await reason(world.hold(citra, slot_id, new_id())) == "PET_NOT_FOUND"
    assert await world.seats(slot_id) == (0, "available")


async def test_a_clinic_that_was_approved_a_moment_ago_can_be_booked(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    clinic = world.catalog.clinics[str(world.clinic_id)]
    clinic.status = catalog_pb2.CLINIC_STATUS_SUSPENDED
    assert await reason(world.hold(budi, slot_id)) == "SERVICE_UNAVAILABLE"

    clinic.status, clinic.version = catalog_pb2.CLINIC_STATUS_APPROVED, 2

    assert (await world.hold(budi, slot_id)).id


async def test_the_owners_are_asked_once_and_then_no_more(world: World) -> None:
    budi = new_id()
    milo, slot_id = world.pets.add_pet(budi), await world.open_slot(capacity=3)
    await world.hold(budi, slot_id, milo)
    asked = (world.catalog.asked, world.pets.asked)

    await world.hold(budi, slot_id, milo)

    assert asked == (2, 1)
    assert (world.catalog.asked, world.pets.asked) == asked


async def test_many_who_come_first_at_once_share_one_answer_of_the_catalog(world: World) -> None:
    slot_id = await world.open_slot(capacity=30)
    people = [new_id() for _ in range(20)]

    world.catalog.may_answer.clear()
    holding = asyncio.gather(*(world.hold(person, slot_id) for person in people))
    await eventually(lambda: world.pets.asked == len(people))  # which each asks beside the catalog
    world.catalog.may_answer.set()
    await holding

    assert world.catalog.asked < len(people)


async def test_a_hold_that_is_given_back_frees_its_seat_once(world: World) -> None:
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot(capacity=2)
    await world.hold(citra, slot_id)
    held = await world.hold(budi, slot_id)
    give_back = booking_pb2.CancelReservationRequest(reservation_id=held.id)

    strangers = world.reservations.CancelReservation(give_back, metadata=world.signed_in(citra))
    assert await reason(strangers) == "RESERVATION_NOT_FOUND"
    await world.reservations.CancelReservation(give_back, metadata=world.signed_in(budi))
    again = world.reservations.CancelReservation(give_back, metadata=world.signed_in(budi))

    assert await reason(again) == "RESERVATION_NOT_PENDING"
    assert await world.seats(slot_id) == (1, "available")
    [event] = await world.events("reservation.cancelled")
    assert event["reservation_id"] == held.id


async def test_a_service_that_calls_itself_a_customer_is_not_that_customer(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    held = await world.hold(budi, slot_id)
    forged = (("authorization", f"Bearer {world.keys.service('catalog', sub=str(budi))}"),)

    look = booking_pb2.GetReservationRequest(reservation_id=held.id)
    give_back = booking_pb2.CancelReservationRequest(reservation_id=held.id)

    assert await reason(world.reservations.GetReservation(look, metadata=forged)) == "UNAUTHENTICATED"
    assert await reason(world.reservations.CancelReservation(give_back, metadata=forged)) == "UNAUTHENTICATED"
    assert (await world.reservations.GetReservation(look, metadata=world.signed_in(budi))).reservation.lock_id


async def test_a_hold_is_not_given_back_while_it_is_being_paid_for(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    held = await world.hold(budi, slot_id)
    pay = booking_pb2.CheckoutReservationRequest(reservation_id=held.id, lock_id=held.lock_id, payment_method="card")
    await world.reservations.CheckoutReservation(pay, metadata=world.signed_in(budi))
    give_back = booking_pb2.CancelReservationRequest(reservation_id=held.id)

    call = world.reservations.CancelReservation(give_back, metadata=world.signed_in(budi))

    assert await reason(call) == "CHECKOUT_IN_PROGRESS"
    assert await world.seats(slot_id) == (1, "booked")


async def test_a_seat_given_back_in_a_blocked_slot_leaves_it_blocked(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    held = await world.hold(budi, slot_id)
    await world.slots.BlockSlot(booking_pb2.BlockSlotRequest(slot_id=str(slot_id)), metadata=world.as_ani)

    give_back = booking_pb2.CancelReservationRequest(reservation_id=held.id)
    await world.reservations.CancelReservation(give_back, metadata=world.signed_in(budi))

    assert await world.seats(slot_id) == (0, "blocked")
    assert UUID(held.slot_id) == slot_id
