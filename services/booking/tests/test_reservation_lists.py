"""Lists of reservations: a person's own, and what waits for a clinic's word."""

from typing import Any

import pytest

from petpro.booking.v1 import booking_pb2
from petpro_booking import expiry
from petpro_common.ids import new_id
from services.booking.tests.desk import Desk
from services.booking.tests.world import Metadata, World, reason

Checkout = booking_pb2.CheckoutStatus


async def listed(world: World, metadata: Metadata, **ask: Any) -> list[str]:
    """All pages."""
    request, seen = booking_pb2.ListReservationsRequest(**ask), list[str]()
    while True:
        page = await world.reservations.ListReservations(request, metadata=metadata)
        seen += [each.id for each in page.reservations]
        if not page.next_page_token:
            return seen
        request.page_token = page.next_page_token


@pytest.mark.parametrize("size", [1, 2, 0])
async def test_people_find_their_own_holds_newest_first_whatever_the_page(world: World, size: int) -> None:
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot(capacity=20)
    mine = [(await world.hold(budi, slot_id)).id for _ in range(3)]
    theirs = (await world.hold(citra, slot_id)).id
    assert await listed(world, world.signed_in(budi), page_size=size) == mine[::-1]
    assert await listed(world, world.signed_in(citra), page_size=size) == [theirs]
    await world.run_out(mine[0])
    await expiry.sweep(world.database)
    pending = {"status": booking_pb2.RESERVATION_STATUS_PENDING}
    assert await listed(world, world.signed_in(budi), page_size=size, **pending) == mine[:0:-1]


async def test_a_clinic_finds_what_waits_for_its_word_and_nobody_else_does(desk: Desk) -> None:
    world, of_clinic = desk.world, {"clinic_id": str(desk.world.clinic_id), "page_size": 1}
    slot_id = await world.open_slot(capacity=5)
    await world.hold(desk.budi, slot_id)
    world.catalog.services[str(world.service_id)].requires_approval = True
    await world.sql("UPDATE catalog_services SET requires_approval = true")
    asked = [(await desk.pay(await desk.hold(slot_id))).id for _ in range(3)]
    for each in asked:
        await desk.until_checkout(each, Checkout.CHECKOUT_STATUS_AWAITING_APPROVAL)
    assert await listed(world, world.as_ani, **of_clinic) == asked[::-1]

    request = booking_pb2.DeclineReservationRequest(reservation_id=asked[1])
    await world.reservations.DeclineReservation(request, metadata=world.as_ani)
    await desk.until_checkout(asked[1], Checkout.CHECKOUT_STATUS_FAILED)
    assert await listed(world, world.as_ani, **of_clinic) == [asked[2], asked[0]]
    assert await reason(listed(world, world.signed_in(desk.budi), **of_clinic)) == "CLINIC_NOT_FOUND"
    events = await world.events("reservation.approval_requested")
    assert [event["reservation_id"] for event in events] == asked
    assert {event["owner_id"] for event in events} == {str(world.ani)}
