"""A service that is off the market, or whose clinic is suspended: what is not paid for is not sold any more."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2
from petpro_common.ids import new_id
from services.booking.tests.desk import Desk
from services.booking.tests.test_bookings import move
from services.booking.tests.world import World, reason

Checkout = booking_pb2.CheckoutStatus


async def suspend(world: World) -> None:
    clinic = world.catalog.clinics[str(world.clinic_id)]
    clinic.status, clinic.version = catalog_pb2.CLINIC_STATUS_SUSPENDED, 2
    await world.sql("UPDATE catalog_clinics SET status = 'suspended', version = 2")


async def take_off(world: World) -> None:
    service = world.catalog.services[str(world.service_id)]
    service.is_available, service.version = False, 2
    await world.sql("UPDATE catalog_services SET is_available = false, version = 2")


not_offered = pytest.mark.parametrize("end_offer", [suspend, take_off])


async def approve(world: World, held: Any) -> Any:
    request = booking_pb2.ApproveReservationRequest(reservation_id=held.id)
    return await world.reservations.ApproveReservation(request, metadata=world.as_ani)


@not_offered
async def test_what_is_held_cannot_be_paid_for(desk: Desk, end_offer: Any) -> None:
    held = await desk.hold(await desk.world.open_slot())
    await end_offer(desk.world)
    assert await reason(desk.pay(held)) == "SERVICE_UNAVAILABLE"
    assert await desk.world.sql("SELECT FROM sagas") == []


@not_offered
async def test_what_waits_for_the_clinic_is_not_approved(desk: Desk, end_offer: Any) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    held = await desk.pay(await desk.hold(await desk.world.open_slot()))
    await end_offer(desk.world)
    assert await reason(approve(desk.world, held)) == "SERVICE_UNAVAILABLE"
    assert (await desk.reservation(held.id)).checkout_status == Checkout.CHECKOUT_STATUS_AWAITING_APPROVAL
    assert desk.payment.asked == []


async def test_what_is_being_paid_for_is_booked(desk: Desk) -> None:
    desk.payment.before["TakePayment"] = lambda: suspend(desk.world)
    paid = await desk.pay(await desk.hold(await desk.world.open_slot()))
    await desk.until_checkout(paid.id, Checkout.CHECKOUT_STATUS_CONFIRMED)


async def test_what_is_offered_again_is_sold_before_booking_has_heard_of_it(desk: Desk) -> None:
    service = desk.world.catalog.services[str(desk.world.service_id)]
    service.requires_approval = True
    held = [await desk.hold(await desk.world.open_slot(timedelta(days=days))) for days in (2, 3)]
    waiting = await desk.pay(held[0])
    await suspend(desk.world)
    clinic = desk.world.catalog.clinics[str(desk.world.clinic_id)]
    clinic.status, clinic.version = catalog_pb2.CLINIC_STATUS_APPROVED, 3

    assert (await approve(desk.world, waiting)).reservation.id == waiting.id
    await desk.world.sql("UPDATE catalog_clinics SET status = 'suspended', version = 2")
    assert (await desk.pay(held[1])).id == held[1].id


@not_offered
async def test_only_the_clinic_moves_a_booking(world: World, end_offer: Any) -> None:
    budi, other = new_id(), await world.open_slot(timedelta(days=3))
    booking_id = await world.book(budi, await world.open_slot())
    await end_offer(world)
    assert await reason(move(world, booking_id, other, world.signed_in(budi))) == "SERVICE_UNAVAILABLE"
    assert UUID((await move(world, booking_id, other, world.as_ani)).slot_id) == other


async def test_a_customer_does_not_move_into_a_slot_that_the_clinic_would_have_to_approve(world: World) -> None:
    budi, other = new_id(), await world.open_slot(timedelta(days=3))
    booking_id = await world.book(budi, await world.open_slot())
    service = world.catalog.services[str(world.service_id)]
    await world.sql("UPDATE catalog_services SET requires_approval = true")
    service.requires_approval = True
    assert await reason(move(world, booking_id, other, world.signed_in(budi))) == "APPROVAL_REQUIRED"

    service.requires_approval, service.version = False, 2
    assert UUID((await move(world, booking_id, other, world.signed_in(budi))).slot_id) == other
