"""Slots that cannot follow a government's clock: another of the same person is there."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from petpro_booking import store, zone_rules
from petpro_common.db import Database
from petpro_common.ids import new_id
from services.booking.tests.clock_change import SEVEN_BEHIND, Government, all_slots, diary_of, generate, must_be_by
from services.booking.tests.world import World, until_somebody_waits

Connect = Callable[[], Database]
FOUR_BEHIND = timedelta(hours=-4)


async def test_who_is_elsewhere_then_is_named_and_not_moved(world: World, government: Government) -> None:
    doctor, surgery = world.catalog.add_staff(world.clinic_id), world.catalog.add_service(world.clinic_id)
    await generate(world, doctor)
    at_nine, *_ = await all_slots(world)
    booking_id = await world.book(new_id(), at_nine.id)
    government.decides(FOUR_BEHIND, "2026b")
    assert await generate(world, doctor, service_id=surgery) == (6, 0), "the move has not been made yet"
    wrong = [slot for slot in await all_slots(world) if slot.service_id == world.service_id]

    for _ in range(2):
        with capture_logs() as log:
            assert not await zone_rules.move_all(world.database)
        named = [each["slot"] for each in log if each["log_level"] == "warning"]
        assert sorted(named) == sorted(str(slot.id) for slot in wrong)
        assert zone_rules.OFF_THE_CLOCK._value.get() == 1
    stuck = [slot for slot in await all_slots(world) if slot.service_id == world.service_id]
    assert [(slot.status, slot.starts_at) for slot in stuck] == [("blocked", slot.starts_at) for slot in wrong]

    await world.sql("DELETE FROM slots WHERE service_id = :id RETURNING id", id=surgery)
    assert not await zone_rules.move_all(world.database)
    await must_be_by(FOUR_BEHIND, world)
    assert zone_rules.OFF_THE_CLOCK._value.get() == 0
    assert [event["booking_id"] for event in await world.events("booking.rescheduled")] == [str(booking_id)]


async def test_a_booking_in_hand_hides_nobody_who_is_stuck(world: World, government: Government) -> None:
    doctor, surgery = world.catalog.add_staff(world.clinic_id), world.catalog.add_service(world.clinic_id)
    await generate(world, doctor, days=2)
    before = await all_slots(world)
    today, tomorrow = before[:6], before[6:]
    await world.book(new_id(), today[0].id)
    parked = await world.book(new_id(), tomorrow[0].id)
    put = "UPDATE bookings SET cancellation_status = :status WHERE id = :id RETURNING id"
    await world.sql(put, status="requested", id=parked)
    government.decides(SEVEN_BEHIND, "2026b")
    assert await generate(world, doctor, service_id=surgery) == (2, 4), "where today's first two are to go"

    for _ in range(2):
        with capture_logs() as log:
            assert await zone_rules.move_all(world.database), "the cancellation is under way"
        named = [each["slot"] for each in log if each["log_level"] == "warning"]
        assert sorted(named) == sorted(str(slot.id) for slot in today)
        assert zone_rules.OFF_THE_CLOCK._value.get() == 1
        after = {slot.id: slot for slot in await all_slots(world)}
        assert [after[slot.id].status for slot in today] == ["blocked"] * 6
        assert [after[slot.id].status for slot in tomorrow] == ["booked", *["available"] * 5]
        waiting = [slot for slot in tomorrow if after[slot.id].starts_at == slot.starts_at]
        assert waiting == [*tomorrow[::2]], "the one in hand, and those behind it"

    await world.sql(put, status="refused", id=parked)
    assert not await zone_rules.move_all(world.database)
    after = {slot.id: slot for slot in await all_slots(world)}
    assert {slot.starts_at - after[slot.id].starts_at for slot in tomorrow} == {timedelta(hours=1)}
    assert [after[slot.id].status for slot in tomorrow] == ["booked", *["available"] * 5]
    assert zone_rules.OFF_THE_CLOCK._value.get() == 1


async def test_who_is_stuck_is_taken_off_the_market_in_the_order_of_everybody(
    world: World, government: Government, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor, surgery = world.catalog.add_staff(world.clinic_id), world.catalog.add_service(world.clinic_id)
    await generate(world, doctor)
    government.decides(FOUR_BEHIND, "2026b")
    assert await generate(world, doctor, service_id=surgery) == (6, 0)
    order = [slot.id for slot, _ in zone_rules.stale(await diary_of(world, doctor))]
    first, last = next((a, b) for n, b in enumerate(order) for a in order[n + 1 :] if a < b)
    give_up, is_stuck, may_go_on = zone_rules._give_up, asyncio.Event(), asyncio.Event()

    async def wait_and_give_up(*given: Any) -> int:
        is_stuck.set()
        await may_go_on.wait()
        return await give_up(*given)

    monkeypatch.setattr(zone_rules, "_give_up", wait_and_give_up)
    moving = asyncio.create_task(zone_rules.move_all(connect()))
    await is_stuck.wait()
    async with connect().transaction() as tx:
        await store.take_seat(tx, first)
        may_go_on.set()
        await until_somebody_waits(world, 1)
        await store.take_seat(tx, last)
    assert not await moving

    stuck = {slot.id: slot for slot in await all_slots(world) if slot.service_id == world.service_id}
    assert {slot.status for slot in stuck.values()} == {"blocked"}
    assert [stuck[slot_id].booked_count for slot_id in (first, last)] == [1, 1]
    assert zone_rules.OFF_THE_CLOCK._value.get() == 2, "those whose seats were taken until then too"


async def test_what_newer_rules_leave_where_it_is_is_not_taken_off_the_market(
    world: World, government: Government, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The government thinks better of it, and whoever knows comes while the rules of before are at work."""
    doctor, surgery = world.catalog.add_staff(world.clinic_id), world.catalog.add_service(world.clinic_id)
    await generate(world, doctor)
    government.decides(FOUR_BEHIND, "2026b")
    assert await generate(world, doctor, service_id=surgery) == (6, 0)
    give_up = zone_rules._give_up

    async def give_up_later(*given: Any) -> int:
        await world.sql("UPDATE zone_rules SET release = '2026c' RETURNING release")
        return await give_up(*given)

    monkeypatch.setattr(zone_rules, "_give_up", give_up_later)
    await zone_rules.move_all(world.database)
    assert {slot.status for slot in await all_slots(world)} == {"available"}
