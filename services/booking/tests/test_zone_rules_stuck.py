"""Slots that cannot follow a government's clock: another of the same person is there."""

from datetime import timedelta

from structlog.testing import capture_logs

from petpro_booking import zone_rules
from petpro_common.ids import new_id
from services.booking.tests.clock_change import Government, all_slots, generate, must_be_by
from services.booking.tests.world import World

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
