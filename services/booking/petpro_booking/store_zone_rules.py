"""Every SQL statement that has slots, and what is in them, follow their local times."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import text

from petpro_booking.diary import Opening
from petpro_booking.partitioned import ForEach
from petpro_common.db import Row, Transaction

# Who takes over waits for those who move slots by the rules of before.
_TAKE_OVER = text("""
    UPDATE zone_rules SET release = greatest(release, CAST(:release AS text) COLLATE "C")
    RETURNING release = :release AS is_newest
""")
_GO_BY = text("SELECT FROM zone_rules WHERE release = :release FOR SHARE")
_TRY_DIARY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(CAST(:whose AS text), 0)) AS is_ours")
_LAST_DAY = text("SELECT max(slot_date) FROM slots WHERE slot_date >= CURRENT_DATE - 1")
_TIMES = text("""
    SELECT DISTINCT clinic.timezone, slot.slot_date, slot.slot_start_time, slot.slot_end_time, slot.starts_at,
        slot.ends_at
    FROM slots slot JOIN catalog_clinics clinic ON clinic.id = slot.clinic_id
    WHERE slot.slot_date = :day AND slot.starts_at > CURRENT_TIMESTAMP
""")
_DIARIES = text("""
    SELECT DISTINCT coalesce(slot.staff_id, slot.service_id) AS whose
    FROM slots slot JOIN catalog_clinics clinic ON clinic.id = slot.clinic_id
    WHERE slot.slot_date = :day AND slot.starts_at > CURRENT_TIMESTAMP
      AND (clinic.timezone, slot.slot_start_time, slot.starts_at) IN (
        SELECT * FROM unnest(CAST(:timezones AS text[]), CAST(:start_times AS time[]), CAST(:starts AS timestamptz[])))
""")
_DIARY = text("""
    SELECT slot.id, slot.slot_date, slot.slot_start_time, slot.slot_end_time, slot.starts_at, slot.ends_at,
        slot.staff_id, slot.booked_count, clinic.timezone
    FROM slots slot JOIN catalog_clinics clinic ON clinic.id = slot.clinic_id
    WHERE (slot.staff_id = :whose OR slot.staff_id IS NULL AND slot.service_id = :whose)
      AND slot.slot_date >= CURRENT_DATE - 1 AND slot.starts_at > CURRENT_TIMESTAMP
""")
_LOCK = text("""
    SELECT id, starts_at, booked_count FROM slots
    WHERE id = ANY(CAST(:ids AS uuid[])) AND slot_date BETWEEN :first AND :last ORDER BY id FOR NO KEY UPDATE
""")
# Locks what can be had, and tells the slots of the others. It waits for nobody: others lock these before slots.
_LOCK_WHAT_IS_IN = text("""
    WITH held AS (
        SELECT id FROM reservations
        WHERE slot_id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' FOR UPDATE SKIP LOCKED
    ), booked AS (
        SELECT id FROM bookings
        WHERE slot_id = ANY(CAST(:ids AS uuid[])) AND status <> 'cancelled' AND cancellation_status <> 'requested'
        FOR UPDATE SKIP LOCKED
    )
    SELECT slot_id FROM reservations
    WHERE slot_id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND id <> ALL(ARRAY(SELECT id FROM held))
    UNION
    SELECT slot_id FROM bookings
    WHERE slot_id = ANY(CAST(:ids AS uuid[])) AND status <> 'cancelled'
      AND id <> ALL(ARRAY(SELECT id FROM booked))
""")
# One slot a statement, so that each sees where those before it went: of what touches, one makes room for the next.
_MOVE = text("""
    UPDATE slots SET starts_at = :starts_at, ends_at = :ends_at, slot_end_time = :end_time,
        updated_at = CURRENT_TIMESTAMP
    WHERE id = :id AND slot_date = CAST(:day AS date) AND starts_at = :was_at AND NOT EXISTS (
        SELECT FROM staff_occupancy busy
        WHERE busy.staff_id = slots.staff_id AND busy.slot_id <> slots.id
          AND busy.during && tstzrange(:starts_at, :ends_at) OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM slots other
        WHERE other.service_id = slots.service_id AND other.staff_id IS NOT DISTINCT FROM slots.staff_id
          AND other.slot_date BETWEEN CAST(:day AS date) - 1 AND CAST(:day AS date) + 1 AND other.id <> slots.id
          AND other.starts_at < :ends_at AND other.ends_at > :starts_at OFFSET 0)
    RETURNING id
""")
_MOVED = "unnest(CAST(:ids AS uuid[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))"
_FOLLOW_HELD = text(f"""
    UPDATE reservations SET starts_at = moved.starts_at, expires_at = least(expires_at, moved.starts_at),
        updated_at = CURRENT_TIMESTAMP
    FROM {_MOVED} AS moved(slot_id, starts_at, ends_at)
    WHERE reservations.slot_id = moved.slot_id AND reservations.slot_id = ANY(CAST(:ids AS uuid[]))
      AND reservations.status = 'pending'
""")  # of the constant above
_FOLLOW_BOOKED = text(f"""
    UPDATE bookings SET starts_at = moved.starts_at, ends_at = moved.ends_at, start_told_at = CURRENT_TIMESTAMP,
        updated_at = CURRENT_TIMESTAMP
    FROM {_MOVED} AS moved(slot_id, starts_at, ends_at)
    WHERE bookings.slot_id = moved.slot_id AND bookings.slot_id = ANY(CAST(:ids AS uuid[]))
      AND bookings.status <> 'cancelled'
    RETURNING bookings.*, old.starts_at AS was_at, CURRENT_TIMESTAMP AS now
""")  # of the constant above
_SET_FLOORS = ForEach(
    "UPDATE bookings SET refund_floor = given.refund_floor FROM {given} WHERE bookings.id = given.id AND {theirs}",
    "bookings",
    id="uuid",
    refund_floor="smallint",
)
_BLOCK = text("""
    UPDATE slots SET status = 'blocked', updated_at = CURRENT_TIMESTAMP
    WHERE id = ANY(CAST(:ids AS uuid[])) AND slot_date BETWEEN :first AND :last AND status <> 'blocked'
""")


async def take_over(tx: Transaction, release: str) -> bool:
    """Has nobody move slots by older rules any more; False where others have newer ones."""
    return bool((await tx.execute(_TAKE_OVER, {"release": release})).one().is_newest)


async def may_move(tx: Transaction, release: str, whose: UUID) -> bool:
    """Holds these rules and a diary until the transaction ends; False where others have newer rules, or the diary."""
    if not (await tx.execute(_GO_BY, {"release": release})).all():
        return False
    return bool((await tx.execute(_TRY_DIARY, {"whose": str(whose)})).one().is_ours)


async def last_day(tx: Transaction) -> date | None:
    """The last day that has slots, yesterday or later."""
    day: date | None = (await tx.execute(_LAST_DAY)).scalar_one()
    return day


async def times(tx: Transaction, day: date) -> Sequence[Row]:
    """The times of all slots of a day that are to come, each once, with their zones."""
    return (await tx.execute(_TIMES, {"day": day})).all()


async def diaries(tx: Transaction, day: date, times: Sequence[Row]) -> Sequence[UUID]:
    """Whose slots have such times on that day: people, and services for those without a person."""
    row = {
        "day": day,
        "timezones": [each.timezone for each in times],
        "start_times": [each.slot_start_time for each in times],
        "starts": [each.starts_at for each in times],
    }
    return (await tx.execute(_DIARIES, row)).scalars()


async def diary(tx: Transaction, whose: UUID) -> Sequence[Row]:
    """All slots to come of a person, or of a service without one."""
    return (await tx.execute(_DIARY, {"whose": whose})).all()


async def lock(tx: Transaction, slots: Sequence[Row]) -> set[UUID]:
    """Locks slots with the holds and bookings in them; those of which somebody has one in hand, or is cancelling one.

    The caller holds their diary.
    """
    row = _these(slots)
    await tx.execute(_LOCK, row)
    return set((await tx.execute(_LOCK_WHAT_IS_IN, {"ids": row["ids"]})).scalars())


async def move(tx: Transaction, slot: Row, to: Opening) -> bool:
    """Moves one slot, unless it has moved, or would meet another of the person, or of the service without one."""
    this = {"id": slot.id, "day": slot.slot_date, "was_at": slot.starts_at}
    times = {"starts_at": to.starts_at, "ends_at": to.ends_at, "end_time": to.ends.time()}
    return bool((await tx.execute(_MOVE, {**this, **times})).all())


async def follow(tx: Transaction, moved: Sequence[tuple[Row, Opening]]) -> Sequence[Row]:
    """Has holds and bookings follow their slots, all of which are locked; the bookings, with `was_at` and `now`."""
    row = {
        "ids": [slot.id for slot, _ in moved],
        "starts": [to.starts_at for _, to in moved],
        "ends": [to.ends_at for _, to in moved],
    }
    _, booked = await tx.execute_all([(_FOLLOW_HELD, row), (_FOLLOW_BOOKED, row)])
    return booked.all()


def set_floors(tx: Transaction, floors: Mapping[UUID, int]) -> None:
    """Has no less than so many percent of their prices go back of bookings, which are locked."""
    if floors:
        tx.write(*_SET_FLOORS.bound({"id": id_, "refund_floor": floor} for id_, floor in floors.items()))


async def block(tx: Transaction, slots: Sequence[Row]) -> Mapping[UUID, int]:
    """Takes slots off the market: how many are booked in each, of those that have not moved meanwhile."""
    row, was_at = _these(slots), {slot.id: slot.starts_at for slot in slots}
    locked = await tx.execute(_LOCK, row)
    unmoved = {slot.id: slot.booked_count for slot in locked if slot.starts_at == was_at[slot.id]}
    tx.write(_BLOCK, {**row, "ids": list(unmoved)})
    return unmoved


def _these(slots: Sequence[Row]) -> dict[str, object]:
    days = [slot.slot_date for slot in slots]
    return {"ids": [slot.id for slot in slots], "first": min(days), "last": max(days)}
