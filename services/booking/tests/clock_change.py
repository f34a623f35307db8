"""What tests of changed clocks share: a government that changes them, slots, and that these are by the clock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from petpro.booking.v1 import booking_pb2
from petpro_booking import store_zone_rules
from petpro_common import zones
from petpro_common.db import Row
from services.booking.tests.world import World

DAY = datetime.now(UTC).date() + timedelta(days=10)
EIGHT_BEHIND, SEVEN_BEHIND = timedelta(hours=-8), timedelta(hours=-7)
HALF_PAST = timedelta(hours=-7, minutes=-30)


class Government:
    """Says how far from UTC the clocks of all clinics are."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def decides(self, offset: timedelta, release: str) -> None:
        self._patch.setattr(zones, "zone", lambda _: timezone(offset))
        self._patch.setattr(zones, "RULES", release)


async def generate(world: World, staff_id: UUID | None = None, days: int = 1, service_id: UUID | None = None) -> Any:
    """By default six slots of half an hour, from 9 to 12."""
    request = booking_pb2.GenerateSlotsRequest(
        service_id=str(service_id or world.service_id),
        staff_id=str(staff_id or ""),
        from_date=DAY.isoformat(),
        to_date=(DAY + timedelta(days=days - 1)).isoformat(),
    )
    reply = await world.slots.GenerateSlots(request, metadata=world.as_ani)
    return reply.created_count, reply.skipped_count


async def all_slots(world: World) -> Sequence[Row]:
    return await world.sql("SELECT * FROM slots ORDER BY starts_at, id")


async def diary_of(world: World, whose: UUID) -> Sequence[Row]:
    async with world.database.reading() as tx:
        return await store_zone_rules.diary(tx, whose)


async def must_be_by(offset: timedelta, world: World) -> None:
    """Every slot is when a clock so far from UTC shows its local times, and its person is occupied then."""
    there = timezone(offset)
    for slot in await all_slots(world):
        starts, ends = slot.starts_at.astimezone(there), slot.ends_at.astimezone(there)
        assert (starts.date(), starts.time()) == (slot.slot_date, slot.slot_start_time)
        assert (ends.time(), ends - starts) == (slot.slot_end_time, timedelta(minutes=30))
    elsewhere = """
        SELECT FROM slots FULL JOIN staff_occupancy busy ON busy.slot_id = slots.id
        WHERE slots.staff_id IS NOT NULL AND busy.during IS DISTINCT FROM tstzrange(starts_at, ends_at)
    """
    assert not await world.sql(elsewhere)
