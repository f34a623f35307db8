"""Policies of single services: they hold instead of the clinic's, as they were when the seat was held."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from petpro.catalog.v1 import catalog_pb2 as catalog
from petpro_booking import consumer
from petpro_common.ids import new_id
from services.booking.tests.test_bookings import get
from services.booking.tests.test_refund_quotes import cancel, quote
from services.booking.tests.world import World

HALF = catalog.RefundTier(min_hours_before=0, refund_percent=50)
OWN = catalog.CancellationPolicy(tiers=[HALF], no_show_fee_percent=60, version=4)


def service_changed(world: World, version: int, **policy: Any) -> dict[str, Any]:
    """The event as catalog tells it."""
    return {
        "event_type": "service.changed",
        "service_id": str(world.service_id),
        "clinic_id": str(world.clinic_id),
        "name": "Vaccination",
        "price": "150000.00",
        "currency": "IDR",
        "duration_minutes": 30,
        "requires_approval": False,
        "is_available": True,
        "version": version,
        **policy,
    }


async def hear(world: World, event: dict[str, Any]) -> None:
    async with world.database.transaction() as tx:
        await consumer.HANDLERS["service.changed"](tx, event)


async def booked(world: World, user_id: UUID, hours: int = 48) -> UUID:
    return await world.book(user_id, await world.open_slot(timedelta(hours=hours)))


async def test_a_services_own_policy_is_what_is_told_and_given(world: World) -> None:
    world.catalog.services[str(world.service_id)].cancellation_policy.CopyFrom(OWN)
    budi = new_id()
    booking_id, mine = await booked(world, budi), world.signed_in(budi)
    told = await quote(world, booking_id, mine)
    assert (told.refund_percent, told.refund_amount.amount, told.policy_version) == (50, "75000.00", 4)
    assert told.policy_of_service
    await cancel(world, booking_id, mine)
    assert (await get(world, booking_id, mine)).refund_amount == told.refund_amount


async def test_a_booking_keeps_the_policy_under_which_its_seat_was_held(world: World) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    under_the_clinics = await booked(world, budi)
    tiers = [{"min_hours_before": 0, "refund_percent": 50}]
    own = {"tiers": tiers, "no_show_fee_percent": 60, "version": 1}
    await hear(world, service_changed(world, 2, cancellation_policy=own))
    under_its_own = await booked(world, budi)
    await hear(world, service_changed(world, 3, cancellation_policy={**own, "tiers": [], "version": 2}))
    under_its_next = await booked(world, budi)
    await hear(world, service_changed(world, 4, cancellation_policy=None))
    under_the_clinics_again = await booked(world, budi)
    told = [
        await quote(world, booking_id, mine)
        for booking_id in (under_the_clinics, under_its_own, under_its_next, under_the_clinics_again)
    ]
    assert [(each.refund_percent, each.policy_of_service, each.policy_version) for each in told] == [
        (100, False, 1),
        (50, True, 1),
        (0, True, 2),
        (100, False, 1),
    ]


async def test_the_release_before_tells_of_no_policy_and_takes_none_away(world: World) -> None:
    budi = new_id()
    await booked(world, budi)
    own = {"tiers": [{"min_hours_before": 0, "refund_percent": 50}], "no_show_fee_percent": 100, "version": 1}
    await hear(world, service_changed(world, 2, cancellation_policy=own))
    await hear(world, service_changed(world, 3))
    booking_id = await booked(world, budi)
    assert (await quote(world, booking_id, world.signed_in(budi))).refund_percent == 50
