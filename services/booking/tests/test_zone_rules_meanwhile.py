"""What is held or booked while its slot moves goes by where the slot went."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from petpro_booking import bookings, holds, store, zone_rules
from petpro_common.db import Database
from petpro_common.ids import new_id
from services.booking.tests.clock_change import SEVEN_BEHIND, Government, all_slots, diary_of, generate
from services.booking.tests.world import World, until_somebody_waits

Connect = Callable[[], Database]


async def test_a_booking_that_is_made_meanwhile_is_made_where_its_slot_went(
    world: World, government: Government, connect: Connect
) -> None:
    await generate(world)
    first, *_ = await all_slots(world)
    held = await world.hold(new_id(), first.id)
    government.decides(SEVEN_BEHIND, "2026b")
    await world.sql("UPDATE zone_rules SET release = '2026b' RETURNING release")
    wanted = zone_rules.stale(await diary_of(world, world.service_id))

    async def confirm() -> None:
        async with connect().transaction() as tx:
            reservation = await store.lock_reservation(tx, UUID(held.id))
            assert reservation is not None
            await bookings.confirm(tx, [bookings.Paid(reservation, new_id(), new_id())])

    async with connect().transaction() as moving:
        assert await zone_rules.move(moving, world.service_id, wanted) == (6, set())
        confirming = asyncio.create_task(confirm())
        await until_somebody_waits(world, 1)
    await confirming

    [booking] = await world.sql("SELECT * FROM bookings")
    assert booking.starts_at == first.starts_at - timedelta(hours=1)
    assert await world.events("booking.rescheduled") == []


async def test_a_hold_that_is_taken_meanwhile_becomes_a_booking_where_its_slot_went(
    world: World, government: Government, connect: Connect
) -> None:
    await generate(world)
    first, *_ = await all_slots(world)
    government.decides(SEVEN_BEHIND, "2026b")
    await world.sql("UPDATE zone_rules SET release = '2026b' RETURNING release")
    wanted = zone_rules.stale(await diary_of(world, world.service_id))

    async with connect().transaction() as moving:
        assert await zone_rules.move(moving, world.service_id, wanted) == (6, set())
        booking = asyncio.create_task(world.book(new_id(), first.id))
        await until_somebody_waits(world, 1)
    await booking

    [made] = await world.sql("SELECT * FROM bookings")
    assert made.starts_at == first.starts_at - timedelta(hours=1)


@pytest.mark.parametrize("people", [1, 2], ids=["alone", "together"])
async def test_a_hold_that_is_taken_meanwhile_goes_by_the_start_where_its_slot_went(
    world: World, government: Government, connect: Connect, people: int
) -> None:
    await generate(world)
    *slots, another = (await all_slots(world))[: people + 1]
    await world.hold(new_id(), another.id)  # booking has heard of the clinic and the service
    customers = [new_id() for _ in slots]
    pets = [await world.known_pet(customer) for customer in customers]
    slot_ids = [slot.id for slot in slots]
    requests = [holds.HoldRequest(*each, None) for each in zip(customers, slot_ids, pets, strict=True)]
    until_it_begins = holds.Terms(timedelta(days=20).total_seconds(), most=10, most_unpaid=10)
    government.decides(SEVEN_BEHIND, "2026b")
    await world.sql("UPDATE zone_rules SET release = '2026b' RETURNING release")
    wanted = zone_rules.stale(await diary_of(world, world.service_id))

    async def hold() -> None:
        async with connect().transaction() as tx:
            await holds.hold(tx, requests, until_it_begins)

    async with connect().transaction() as moving:
        moved, _ = await zone_rules.move(moving, world.service_id, wanted)
        assert moved == 6
        holding = asyncio.create_task(hold())
        await until_somebody_waits(world, 1)
    await holding

    held = await world.sql("SELECT * FROM reservations WHERE slot_id = ANY(:ids) ORDER BY starts_at", ids=slot_ids)
    went_to = [slot.starts_at - timedelta(hours=1) for slot in slots]
    assert [(each.starts_at, each.expires_at) for each in held] == [(start, start) for start in went_to]
