"""Making, listing and blocking slots."""

import asyncio
import zoneinfo  # noqa: TID251  # what goes by the machine's
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2
from petpro_booking import store_projections
from petpro_common import zones
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from services.booking.tests.world import Metadata, World, reason

JAKARTA = zones.zone("Asia/Jakarta")


def tomorrow() -> date:
    return datetime.now(UTC).astimezone(JAKARTA).date() + timedelta(days=1)


def wish(world: World, days: int = 1, staff_id: UUID | None = None, **more: object) -> booking_pb2.GenerateSlotsRequest:
    """Slots for so many days from tomorrow: the clinic is open from 9 to 12, a visit takes half an hour."""
    return booking_pb2.GenerateSlotsRequest(
        service_id=str(more.get("service_id", world.service_id)),
        staff_id=str(staff_id) if staff_id else "",
        from_date=tomorrow().isoformat(),
        to_date=(tomorrow() + timedelta(days=days - 1)).isoformat(),
        capacity=int(str(more.get("capacity", 0))),
    )


async def generate(world: World, request: booking_pb2.GenerateSlotsRequest) -> tuple[int, int]:
    reply = await world.slots.GenerateSlots(request, metadata=world.as_ani)
    return reply.created_count, reply.skipped_count


async def test_slots_are_made_from_the_hours_and_not_made_twice(world: World) -> None:
    assert await generate(world, wish(world, days=2)) == (12, 0)
    assert await generate(world, wish(world, days=3)) == (6, 12)

    reply = await world.slots.ListSlots(booking_pb2.ListSlotsRequest(service_id=str(world.service_id)))
    first = reply.slots[0]
    assert (first.slot_date, first.slot_start_time, first.slot_end_time) == (tomorrow().isoformat(), "09:00", "09:30")
    assert first.starts_at.ToDatetime(UTC).astimezone(JAKARTA).hour == 9
    assert (first.capacity, first.booked_count) == (1, 0)


async def test_slots_go_by_the_rules_that_are_pinned_and_not_by_the_machines(world: World, tmp_path: Path) -> None:
    rules = Path(str(files("tzdata"))) / "zoneinfo" / "Asia" / "Tokyo"
    (tmp_path / "Asia").mkdir()
    (tmp_path / "Asia" / "Jakarta").write_bytes(rules.read_bytes())
    zones.zone.cache_clear()
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath([tmp_path])
    try:
        await generate(world, wish(world))
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()
    reply = await world.slots.ListSlots(booking_pb2.ListSlotsRequest(service_id=str(world.service_id)))
    assert reply.slots[0].slot_start_time == "09:00"
    assert reply.slots[0].starts_at.ToDatetime().hour == 2


@pytest.mark.parametrize(
    ("status", "is_refused"), [("PENDING", True), ("REJECTED", True), ("APPROVED", False), ("SUSPENDED", False)]
)
async def test_none_are_made_while_the_clinic_may_still_change_its_time_zone(
    world: World, status: str, is_refused: bool
) -> None:
    world.catalog.clinics[str(world.clinic_id)].status = catalog_pb2.ClinicStatus.Value(f"CLINIC_STATUS_{status}")
    if not is_refused:
        assert await generate(world, wish(world)) == (6, 0)
        return
    assert await reason(generate(world, wish(world))) == "SERVICE_UNAVAILABLE"
    strangers = world.slots.GenerateSlots(wish(world), metadata=world.signed_in(new_id()))
    assert await reason(strangers) == "CLINIC_NOT_FOUND"


async def test_who_asks_again_needs_no_catalog_and_is_told_the_same(world: World) -> None:
    request = wish(world)
    request.request_id = "once"
    made = await generate(world, request)
    world.catalog.services.clear()
    assert await generate(world, request) == made == (6, 0)
    request.capacity = 3
    assert await reason(generate(world, request)) == "REQUEST_ID_REUSED"
    request.request_id = "another"
    assert await reason(generate(world, request)) == "SERVICE_NOT_FOUND"


async def test_the_last_days_that_there_are_can_be_asked_for(world: World) -> None:
    ask = booking_pb2.ListSlotsRequest(service_id=str(world.service_id), from_date="9999-12-25")
    assert not (await world.slots.ListSlots(ask)).slots


async def test_two_who_make_the_same_slots_at_once_make_each_once(world: World) -> None:
    counts = await asyncio.gather(*(generate(world, wish(world, days=5)) for _ in range(4)))

    assert sorted(created for created, _ in counts) == [0, 0, 0, 30]


async def test_a_person_is_not_given_two_services_at_once(world: World) -> None:
    doctor = world.catalog.add_staff(world.clinic_id)
    surgery = world.catalog.add_service(world.clinic_id, minutes=60)

    assert await generate(world, wish(world, staff_id=doctor)) == (6, 0)
    assert await generate(world, wish(world, staff_id=doctor, service_id=surgery)) == (0, 3)
    assert await generate(world, wish(world, service_id=surgery)) == (3, 0)


async def test_other_durations_later_do_not_overlap_the_slots_that_exist(world: World) -> None:
    await generate(world, wish(world))
    service = world.catalog.services[str(world.service_id)]
    service.duration_minutes, service.version = 45, 2

    assert await generate(world, wish(world)) == (0, 4)


async def test_only_those_who_act_for_the_clinic_make_slots(world: World) -> None:
    nurse, stranger = new_id(), new_id()
    world.catalog.add_staff(world.clinic_id, nurse)
    staff_id = next(iter(world.catalog.staff))
    request = wish(world, staff_id=UUID(staff_id))

    async def by(user_id: UUID, role: Role) -> int:
        made = await world.slots.GenerateSlots(request, metadata=world.signed_in(user_id, role))
        return made.created_count

    assert await reason(by(stranger, Role.CLINIC)) == "CLINIC_NOT_FOUND"
    assert await reason(world.slots.GenerateSlots(request)) == "UNAUTHENTICATED"
    assert await by(nurse, Role.CLINIC) == 6
    assert await by(new_id(), Role.ADMIN) == 0


async def test_people_of_other_clinics_cannot_be_planned(world: World) -> None:
    other_clinic = world.catalog.add_clinic(new_id(), "Asia/Jakarta")
    elsewhere = world.catalog.add_staff(other_clinic)

    assert await reason(generate(world, wish(world, staff_id=elsewhere))) == "STAFF_NOT_FOUND"
    assert await reason(generate(world, wish(world, service_id=new_id()))) == "SERVICE_NOT_FOUND"


async def test_months_far_ahead_get_their_partitions(world: World) -> None:
    first = tomorrow() + timedelta(days=300)
    request = wish(world)
    request.from_date, request.to_date = first.isoformat(), (first + timedelta(days=40)).isoformat()

    assert await generate(world, request) == (41 * 6, 0)


@pytest.mark.parametrize("size", [1, 5, 100])
async def test_pages_hold_every_slot_once_and_in_order(world: World, size: int) -> None:
    await generate(world, wish(world, days=3))
    await generate(world, wish(world, days=3, staff_id=world.catalog.add_staff(world.clinic_id)))
    ask = booking_pb2.ListSlotsRequest(service_id=str(world.service_id), page_size=size)

    seen: list[booking_pb2.Slot] = []
    while True:
        page = await world.slots.ListSlots(ask)
        seen += page.slots
        assert len(page.slots) <= size
        if not page.next_page_token:
            break
        ask.page_token = page.next_page_token

    assert len({slot.id for slot in seen}) == len(seen) == 36
    assert [slot.starts_at.seconds for slot in seen] == sorted(slot.starts_at.seconds for slot in seen)


async def test_a_page_token_of_another_list_is_refused(world: World) -> None:
    await generate(world, wish(world))
    ask = booking_pb2.ListSlotsRequest(service_id=str(world.service_id), page_size=1)
    ask.page_token = (await world.slots.ListSlots(ask)).next_page_token
    ask.available_only = True

    assert await reason(world.slots.ListSlots(ask)) == "BAD_PAGE_TOKEN"


async def test_only_free_slots_are_listed_when_asked(world: World) -> None:
    free = await world.open_slot(timedelta(days=2))
    full = await world.open_slot(timedelta(days=3))
    blocked = await world.open_slot(timedelta(days=4))
    await world.open_slot(timedelta(hours=-1))
    await world.hold(new_id(), full)
    await world.slots.BlockSlot(booking_pb2.BlockSlotRequest(slot_id=str(blocked)), metadata=world.as_ani)
    first = (tomorrow() - timedelta(days=2)).isoformat()
    ask = booking_pb2.ListSlotsRequest(service_id=str(world.service_id), from_date=first)

    everything = await world.slots.ListSlots(ask)
    ask.available_only = True
    available = await world.slots.ListSlots(ask)

    assert len(everything.slots) == 4
    assert [slot.id for slot in available.slots] == [str(free)]


async def test_a_blocked_slot_comes_back_as_full_as_it_was(world: World) -> None:
    slot_id = await world.open_slot()
    await world.hold(new_id(), slot_id)
    block = booking_pb2.BlockSlotRequest(slot_id=str(slot_id))

    blocked = await world.slots.BlockSlot(block, metadata=world.as_ani)
    back = await world.slots.UnblockSlot(booking_pb2.UnblockSlotRequest(slot_id=str(slot_id)), metadata=world.as_ani)

    assert (blocked.slot.status, blocked.slot.booked_count) == (booking_pb2.SLOT_STATUS_BLOCKED, 1)
    assert (back.slot.status, back.slot.booked_count) == (booking_pb2.SLOT_STATUS_BOOKED, 1)
    stranger = world.slots.BlockSlot(block, metadata=world.signed_in(new_id(), Role.CLINIC))
    assert await reason(stranger) == "CLINIC_NOT_FOUND"


@pytest.mark.parametrize("told_of", ["clinic", "service"])
async def test_slots_that_nobody_can_book_are_shown_to_the_clinic_alone(world: World, told_of: str) -> None:
    slot_id = await world.open_slot()
    clinic = world.catalog.clinics[str(world.clinic_id)]
    service = world.catalog.services[str(world.service_id)]
    if told_of == "clinic":
        clinic.status, clinic.version = catalog_pb2.CLINIC_STATUS_SUSPENDED, clinic.version + 1
        await world.sql("UPDATE catalog_clinics SET status = 'suspended', version = version + 1 RETURNING id")
    else:
        service.is_available, service.version = False, service.version + 1
        await world.sql("UPDATE catalog_services SET is_available = false, version = version + 1 RETURNING id")
    ask = booking_pb2.ListSlotsRequest(service_id=str(world.service_id))

    async def seen(metadata: Metadata = ()) -> list[str]:
        return [slot.id for slot in (await world.slots.ListSlots(ask, metadata=metadata)).slots]

    works_there = new_id()
    staff = {"id": new_id(), "clinic_id": world.clinic_id, "user_id": works_there, "working_hours": {}, "version": 1}
    async with world.database.transaction() as tx:
        store_projections.keep_staff(tx, staff)
    assert await seen() == await seen(world.signed_in(new_id())) == []
    assert await seen(world.signed_in(new_id(), Role.CLINIC)) == []
    for insider in (world.as_ani, world.signed_in(works_there), world.signed_in(new_id(), Role.ADMIN)):
        assert await seen(insider) == [str(slot_id)]

    clinic.status, clinic.version = catalog_pb2.CLINIC_STATUS_APPROVED, clinic.version + 1
    service.is_available, service.version = True, service.version + 1
    assert await seen() == [str(slot_id)], "catalog is asked where the copy says no"


async def test_slots_of_a_service_that_nobody_knows(world: World) -> None:
    ask = booking_pb2.ListSlotsRequest(service_id=str(new_id()))
    assert await reason(world.slots.ListSlots(ask)) == "SERVICE_NOT_FOUND"


async def test_events_about_a_clinic_and_slots_that_are_opened_do_not_wait_for_each_other_in_a_circle(
    world: World,
) -> None:
    await generate(world, wish(world))
    touch_clinic = text("UPDATE catalog_clinics SET version = version WHERE id = :id")
    touch_service = text("UPDATE catalog_services SET version = version WHERE id = :id")
    async with world.database.transaction() as batch:
        await batch.execute(touch_clinic, {"id": world.clinic_id})
        opening = asyncio.create_task(generate(world, wish(world, days=2)))
        await eventually(lambda: somebody_waits(world))  # it has the service, and waits for the clinic
        assert not opening.done()
        await batch.execute(touch_service, {"id": world.service_id})
    assert await opening == (6, 6)


async def somebody_waits(world: World) -> bool:
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await world.sql(waiting))
