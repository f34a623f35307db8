"""Dates on which a service is not to be had as usual: no slots are made there, and those that exist stand."""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2
from petpro_booking import consumer
from petpro_common.ids import new_id
from services.booking.tests.test_slots import generate, tomorrow, wish
from services.booking.tests.world import World


def say(world: World, *days: catalog_pb2.AvailabilityException) -> None:
    """The clinic, which is open from 9 to 12, names dates in the catalog."""
    service = world.catalog.services[str(world.service_id)]
    del service.availability_exceptions[:]
    service.availability_exceptions.extend(days)
    service.version += 1


def closed(day: date) -> catalog_pb2.AvailabilityException:
    return catalog_pb2.AvailabilityException(date=day.isoformat(), reason="Libur")


async def shown(world: World) -> list[tuple[str, str]]:
    """Date and time of all slots."""
    reply = await world.slots.ListSlots(booking_pb2.ListSlotsRequest(service_id=str(world.service_id), page_size=100))
    return [(slot.slot_date, slot.slot_start_time) for slot in reply.slots]


async def test_no_slots_are_made_on_a_date_on_which_the_clinic_is_closed(world: World) -> None:
    second = tomorrow() + timedelta(days=1)
    say(world, closed(second))

    assert await generate(world, wish(world, days=3)) == (12, 0)
    assert {day for day, _ in await shown(world)} == {
        tomorrow().isoformat(),
        (tomorrow() + timedelta(days=2)).isoformat(),
    }


async def test_slots_of_a_date_with_other_hours_are_made_from_these(world: World) -> None:
    afternoon = catalog_pb2.DayHours(open="14:00", close="15:00", is_open=True)
    say(world, catalog_pb2.AvailabilityException(date=tomorrow().isoformat(), hours=afternoon))

    assert await generate(world, wish(world)) == (2, 0)
    assert [at for _, at in await shown(world)] == ["14:00", "14:30"]


async def test_once_the_date_is_usual_again_its_slots_can_be_made(world: World) -> None:
    say(world, closed(tomorrow()))
    assert await generate(world, wish(world)) == (0, 0)
    say(world)
    assert await generate(world, wish(world)) == (6, 0)


async def test_what_exists_on_the_date_stands_and_what_is_held_too(world: World) -> None:
    assert await generate(world, wish(world)) == (6, 0)
    (slot, *_) = await world.sql("SELECT id FROM slots ORDER BY starts_at")
    held = await world.hold(new_id(), slot.id)
    say(world, closed(tomorrow()))

    assert await generate(world, wish(world)) == (0, 0)
    assert len(await shown(world)) == 6
    assert held.status == booking_pb2.RESERVATION_STATUS_PENDING
    assert await world.seats(slot.id) == (1, "booked")


def told(world: World, version: int, **more: Any) -> dict[str, Any]:
    return {
        "service_id": str(world.service_id),
        "clinic_id": str(world.clinic_id),
        "name": "Vaccination",
        "price": "150000.00",
        "currency": "IDR",
        "duration_minutes": 30,
        "requires_approval": False,
        "is_available": True,
        "cancellation_policy": None,
        "version": version,
        **more,
    }


async def test_the_copy_follows_the_events_and_one_of_the_release_before_takes_nothing_away(world: World) -> None:
    days = [{"date": "2026-12-25", "open": None, "close": None, "is_open": False}]

    async def kept_after(event: dict[str, Any]) -> Any:
        async with world.database.transaction() as tx:
            await consumer.HANDLERS["service.changed"](tx, event)
        async with world.database.transaction() as tx:
            query = text("SELECT availability_exceptions FROM catalog_services WHERE id = :id")
            return (await tx.execute(query, {"id": world.service_id})).scalar_one()

    assert await kept_after(told(world, 2, availability_exceptions=days)) == days
    assert await kept_after(told(world, 3)) == days
    assert await kept_after(told(world, 4, availability_exceptions=[])) == []
