"""Slots: made from the hours of clinic and staff, taken off the market, put back, and taken away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import islice
from uuid import UUID

from petpro_booking import access, diary, store, store_projections, store_slots, store_upkeep
from petpro_booking.copies import Timetable
from petpro_booking.diary import Opening
from petpro_booking.domain import ClinicNotFound, ServiceUnavailable, SlotNotFound
from petpro_common import zones
from petpro_common.context import Caller
from petpro_common.db import Database, Row, Transaction
from petpro_common.errors import FieldViolation, InvalidRequest, invalid

LONGEST_RANGE_DAYS = 92
_FURTHEST_DAYS = 366
_MOST_SLOTS = 5_000
_LISTED_DAYS = 14


@dataclass(frozen=True)
class Plan:
    """Slots that are wanted: for a service, perhaps of one person."""

    clinic_id: UUID
    service_id: UUID
    staff_id: UUID | None
    capacity: int
    openings: Sequence[Opening]


@dataclass(frozen=True)
class Market:
    """Where a service is offered, and whether somebody sees its slots."""

    zone: tzinfo
    is_open: bool


async def market(tx: Transaction, caller: Caller | None, service_id: UUID) -> Market | None:
    """Slots are seen while the service and its clinic take bookings, and by whoever may read what the clinic may.

    None when a copy is missing.
    """
    known = await store_projections.offer(tx, service_id)
    if known is None:
        return None
    is_insider = not known.is_offered and caller and await access.sees_clinic(tx, caller, known.clinic_id)
    return Market(zones.zone(known.timezone), known.is_offered or bool(is_insider))


def plan(service_id: UUID, staff_id: UUID | None, days: tuple[str, str], capacity: int, timetable: Timetable) -> Plan:
    """All slots that the hours allow in a range of days.

    Yesterday is not past while a night that began then goes on. Raises InvalidRequest for days that are none, past, in
    the wrong order, more than 92, or more than a year away; and when it would be more than 5,000 slots.
    """
    hours = (timetable.clinic_hours, timetable.staff_hours)
    not_before = diary.first_day(datetime.now(UTC), *hours, timetable.zone)
    first, last = range_to_open(days, _today(timetable.zone), not_before)
    found = diary.openings(first, last, *hours, timetable.zone, timetable.duration)
    openings = list(islice(found, _MOST_SLOTS + 1))
    if len(openings) > _MOST_SLOTS:
        raise invalid("to_date", f"makes more than {_MOST_SLOTS} slots at once; ask for fewer days")
    return Plan(timetable.clinic_id, service_id, staff_id, capacity or 1, openings)


def range_to_open(days: tuple[str, str], today: date, not_before: date) -> tuple[date, date]:
    """The days to make slots for, up to a year after today. Raises InvalidRequest with every violation."""
    first, last = _dates(days)
    if first is None or last is None:
        raise invalid("from_date", "both dates are needed")
    violations = _range_violations(first, last)
    if first < not_before:
        violations.append(FieldViolation("from_date", "must not be in the past"))
    if last > today + timedelta(days=_FURTHEST_DAYS):
        violations.append(FieldViolation("to_date", "must be at most a year away"))
    if violations:
        raise InvalidRequest(*violations)
    return first, last


def range_to_list(days: tuple[str, str], zone: tzinfo) -> tuple[date, date]:
    """The days to list: from today, for two weeks, where they are left open. Raises InvalidRequest."""
    first, last = _dates(days)
    first = first or _today(zone)
    last = last or first + min(timedelta(days=_LISTED_DAYS), date.max - first)
    if violations := _range_violations(first, last):
        raise InvalidRequest(*violations)
    return first, last


async def must_act_for(tx: Transaction, caller: Caller, clinic_id: UUID) -> None:
    """Raises ClinicNotFound to whoever does not act for the clinic."""
    if not await access.acts_for_clinic(tx, caller, clinic_id):
        raise ClinicNotFound


def must_have_been_approved(clinic_status: str) -> None:
    """Before its first approval a clinic may still change its time zone. Raises ServiceUnavailable."""
    if clinic_status in ("pending", "rejected"):
        raise ServiceUnavailable


async def open_partitions(database: Database, wanted: Plan) -> None:
    """Has a partition for every month of a plan, in a transaction of its own: it locks the whole table for a moment."""
    months = sorted({opening.starts.date().replace(day=1) for opening in wanted.openings})
    async with database.transaction() as tx:
        await store_upkeep.ensure_slots_of(tx, months)


async def open_planned(tx: Transaction, caller: Caller, wanted: Plan) -> int:
    """Makes the slots of a plan, but for those that are past, exist, or would double-book the person; how many.

    Raises ClinicNotFound as `must_act_for` does.
    """
    await must_act_for(tx, caller, wanted.clinic_id)
    store_slots.lock_diary(tx, wanted.staff_id or wanted.service_id)
    return await store_slots.open_slots(
        tx,
        clinic_id=wanted.clinic_id,
        service_id=wanted.service_id,
        staff_id=wanted.staff_id,
        capacity=wanted.capacity,
        openings=wanted.openings,
    )


async def block(tx: Transaction, caller: Caller, slot_id: UUID) -> Row:
    """Takes a slot off the market; what is booked in it stands. Raises SlotNotFound or ClinicNotFound."""
    await _must_be_ours(tx, caller, slot_id)
    return _found(await store_slots.block(tx, slot_id))


async def unblock(tx: Transaction, caller: Caller, slot_id: UUID) -> Row:
    """Puts a slot back on the market. Raises SlotNotFound or ClinicNotFound."""
    await _must_be_ours(tx, caller, slot_id)
    return _found(await store_slots.unblock(tx, slot_id))


async def remove(tx: Transaction, caller: Caller, slot_id: UUID) -> None:
    """Takes a slot away that nobody has held or booked. Raises SlotNotFound, ClinicNotFound or SlotInUse."""
    await _must_be_ours(tx, caller, slot_id)
    if not await store_slots.remove(tx, slot_id):
        raise SlotNotFound


async def _must_be_ours(tx: Transaction, caller: Caller, slot_id: UUID) -> None:
    slot = _found(await store.get_slot(tx, slot_id))
    await must_act_for(tx, caller, slot.clinic_id)


def _found(slot: Row | None) -> Row:
    if slot is None:
        raise SlotNotFound
    return slot


def _today(zone: tzinfo) -> date:
    return datetime.now(UTC).astimezone(zone).date()


def _dates(days: tuple[str, str]) -> tuple[date | None, date | None]:
    found: list[date | None] = []
    violations = []
    for field, value in zip(("from_date", "to_date"), days, strict=True):
        try:
            found.append(date.fromisoformat(value) if value else None)
        except ValueError:
            violations.append(FieldViolation(field, "must be a date such as 2026-12-31"))
    if violations:
        raise InvalidRequest(*violations)
    return found[0], found[1]


def _range_violations(first: date, last: date) -> list[FieldViolation]:
    violations = []
    if last < first:
        violations.append(FieldViolation("to_date", "must not be before from_date"))
    if (last - first).days > LONGEST_RANGE_DAYS:
        violations.append(FieldViolation("to_date", f"must be at most {LONGEST_RANGE_DAYS} days after from_date"))
    return violations
