"""The monthly summary, and the copies of what other services own."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from petpro.booking.v1 import booking_pb2
from petpro_booking import consumer, store_upkeep
from petpro_booking.tables import bookings
from petpro_common import field_rules
from petpro_common.context import Role
from petpro_common.ids import instant_of, new_id
from services.booking.tests.world import World, reason


async def refresh(world: World) -> bool:
    async with world.database.transaction() as tx:
        return await store_upkeep.refresh_summary(tx)


async def months(world: World) -> list[tuple[str, int, int, str, str, str]]:
    ask = booking_pb2.GetClinicSummaryRequest(clinic_id=str(world.clinic_id))
    reply = await world.bookings.GetClinicSummary(ask, metadata=world.as_ani)
    return [
        (
            month.month[5:],
            month.total_bookings,
            month.cancelled_count,
            month.total_revenue.amount,
            month.net_revenue.amount,
            month.net_revenue.currency_code,
        )
        for month in reply.months
    ]


async def _book_at(world: World, created_at: str, **changes: Any) -> None:
    """A booking that was made at that instant."""
    slot_id = await world.open_slot()
    booking_id = await world.book(new_id(), slot_id)
    made = await world.sql("SELECT uuidv7(CAST(:at AS timestamptz) - clock_timestamp()) AS id", at=created_at)
    await world.sql("SELECT ensure_quarter_partition('bookings', CAST(:at AS timestamptz))", at=created_at)
    other = {"id": made[0].id, "created_at": instant_of(made[0].id), **changes}
    async with world.database.transaction() as tx:
        await tx.execute(update(bookings).where(bookings.c.id == booking_id).values(other))


async def test_the_summary_keeps_the_clinics_months_and_currencies_apart(world: World) -> None:
    await _book_at(world, "2026-10-31 16:59:59+00")
    await _book_at(world, "2026-10-31 17:00:00+00")
    await _book_at(world, "2026-10-31 18:00:00+00", currency="USD", amount=Decimal("20.00"))
    cancelled = {"status": "cancelled", "refund_amount": Decimal("75000.00")}
    await _book_at(world, "2026-11-10 00:00:00+00", **cancelled)
    await _book_at(world, "2026-11-11 00:00:00+00", refund_amount=Decimal("150000.00"))

    assert await refresh(world)

    assert await months(world) == [
        ("11-01", 3, 1, "450000.00", "375000.00", "IDR"),
        ("11-01", 1, 0, "20.00", "20.00", "USD"),
        ("10-01", 1, 0, "150000.00", "150000.00", "IDR"),
    ]


async def test_a_months_revenue_of_more_than_one_price_can_be_keeps_to_the_contract(world: World) -> None:
    for _ in range(2):
        await _book_at(world, "2026-11-10 00:00:00+00", amount=Decimal("9999999999.99"))
    assert await refresh(world)
    ask = booking_pb2.GetClinicSummaryRequest(clinic_id=str(world.clinic_id))
    reply = await world.bookings.GetClinicSummary(ask, metadata=world.as_ani)
    assert reply.months[0].total_revenue.amount == "19999999999.98"
    field_rules.check(reply)


@pytest.mark.parametrize("status", ["cancelled", "no-show"])
async def test_a_visit_that_was_to_be_paid_at_the_clinic_and_never_took_place_brings_nothing(
    world: World, status: str
) -> None:
    at_clinic = {"payment_id": None, "refund_amount": Decimal(0)}
    await _book_at(world, "2026-11-10 00:00:00+00", status=status, **at_clinic)
    await _book_at(world, "2026-11-11 00:00:00+00", status="completed", **at_clinic)
    assert await refresh(world)
    [(_, _, _, total, net, _)] = await months(world)
    assert (total, net) == ("300000.00", "150000.00")


@pytest.mark.parametrize(
    ("timezone", "made_at", "month"),
    [
        ("CET", "2026-07-31 22:30:00+00", "08-01"),  # in summer; PostgreSQL takes CET for an hour's difference
        ("Europe/Brussels", "2026-07-31 22:30:00+00", "08-01"),
        ("America/Vancouver", "2026-12-01 06:30:00+00", "11-01"),
        ("America/Vancouver", "2026-12-01 07:30:00+00", "12-01"),  # since 2026 it stays at -7
        ("Mars/Olympus_Mons", "2026-11-01 00:00:00+00", "11-01"),  # by UTC, and others still have a summary
    ],
)
async def test_months_begin_by_the_pinned_rules_whatever_postgresql_knows(
    world: World, timezone: str, made_at: str, month: str
) -> None:
    await _book_at(world, made_at, timezone=timezone)
    await _book_at(world, "2026-05-05 00:00:00+00")
    await world.sql("UPDATE catalog_clinics SET timezone = :timezone RETURNING id", timezone=timezone)

    assert await refresh(world)
    assert [name for name, *_ in await months(world)] == [month, "05-01"]


async def test_a_booking_made_in_a_zone_that_no_clinic_has_any_more_counts_to_the_month_of_that_zone(
    world: World,
) -> None:
    await _book_at(world, "2026-12-01 06:30:00+00", timezone="America/Vancouver")
    assert await refresh(world)
    assert [name for name, *_ in await months(world)] == ["11-01"]


async def test_the_summary_is_read_while_it_is_refreshed_and_refreshed_by_one_at_a_time(world: World) -> None:
    await world.book(new_id(), await world.open_slot())
    async with world.database.transaction() as reading:
        await store_upkeep.summary(reading, world.clinic_id)
        assert await asyncio.wait_for(refresh(world), 60)
        async with world.database.transaction() as tx:
            assert await store_upkeep.refresh_summary(tx)
            assert not await refresh(world)


async def test_a_summary_is_for_the_clinic(world: World) -> None:
    ask = booking_pb2.GetClinicSummaryRequest(clinic_id=str(world.clinic_id))

    nothing_yet = await world.bookings.GetClinicSummary(ask, metadata=world.as_ani)
    stranger = world.bookings.GetClinicSummary(ask, metadata=world.signed_in(new_id(), Role.CLINIC))

    assert list(nothing_yet.months) == []
    assert await reason(stranger) == "CLINIC_NOT_FOUND"


async def test_an_older_event_that_comes_late_changes_nothing(world: World) -> None:
    def service(version: int, price: str) -> dict[str, Any]:
        return {
            "event_type": "service.changed",
            "service_id": str(world.service_id),
            "clinic_id": str(world.clinic_id),
            "name": "Vaccination",
            "price": price,
            "currency": "IDR",
            "duration_minutes": 30,
            "requires_approval": False,
            "is_available": True,
            "version": version,
        }

    async with world.database.transaction() as tx:
        await consumer.HANDLERS["service.changed"](tx, service(2, "200000.00"))
        await consumer.HANDLERS["service.changed"](tx, service(3, "300000.00"))
        await consumer.HANDLERS["service.changed"](tx, service(1, "100000.00"))

    held = await world.hold(new_id(), await world.open_slot())
    assert held.price.amount == "300000.00"


async def test_a_pet_that_is_gone_is_not_booked_any_more(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot(capacity=5)
    milo = world.pets.add_pet(budi)
    await world.hold(budi, slot_id, milo)

    event = {"event_type": "pet.changed", "pet_id": str(milo), "user_id": str(budi), "is_deleted": True, "version": 2}
    async with world.database.transaction() as tx:
        await consumer.HANDLERS["pet.changed"](tx, event)

    assert await reason(world.hold(budi, slot_id, milo)) == "PET_NOT_FOUND"


async def test_staff_act_for_their_clinic_until_they_leave(world: World) -> None:
    nurse, staff_id, slot_id = new_id(), new_id(), await world.open_slot()
    block = booking_pb2.BlockSlotRequest(slot_id=str(slot_id))
    event = {
        "event_type": "staff.changed",
        "staff_id": str(staff_id),
        "clinic_id": str(world.clinic_id),
        "user_id": str(nurse),
        "role": "nurse",
        "working_hours": {},
        "version": 1,
    }

    async def learn(change: dict[str, Any]) -> None:
        async with world.database.transaction() as tx:
            await consumer.HANDLERS["staff.changed"](tx, {**event, **change})

    await learn({})
    assert (await world.slots.BlockSlot(block, metadata=world.signed_in(nurse, Role.CLINIC))).slot.id == str(slot_id)
    await learn({"user_id": None, "version": 2})
    left = world.slots.BlockSlot(block, metadata=world.signed_in(nurse, Role.CLINIC))
    assert await reason(left) == "CLINIC_NOT_FOUND"
