"""Making, listing, blocking and removing slots. What follows a change of the clock is in `store_zone_rules`."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text

from petpro_booking.diary import Opening
from petpro_booking.domain import SlotInUse
from petpro_booking.partitioned import THIS_SLOT
from petpro_common.db import Row, Transaction
from petpro_common.ids import id_of_date

_LOCK_DIARY = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:whose AS text), 0))")
# What has the same local time exists, though its instants may be by zone rules of before: `zone_rules` moves it.
# OFFSET 0 has the times around each slot looked up: planned as joins they would be all that the service ever had.
_OPEN = text("""
    INSERT INTO slots (id, service_id, staff_id, clinic_id, capacity,
        slot_date, slot_start_time, slot_end_time, starts_at, ends_at)
    SELECT new.id, :service_id, CAST(:staff_id AS uuid), :clinic_id, :capacity,
        new.slot_date, new.slot_start_time, new.slot_end_time, new.starts_at, new.ends_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:dates AS date[]), CAST(:start_times AS time[]), CAST(:end_times AS time[]),
                CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
        AS new (id, slot_date, slot_start_time, slot_end_time, starts_at, ends_at)
    WHERE new.starts_at > CURRENT_TIMESTAMP
      AND NOT EXISTS (
        SELECT FROM staff_occupancy busy
        WHERE busy.staff_id = CAST(:staff_id AS uuid) AND busy.during && tstzrange(new.starts_at, new.ends_at) OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM slots other
        WHERE other.service_id = :service_id AND other.staff_id IS NOT DISTINCT FROM CAST(:staff_id AS uuid)
          AND other.slot_date BETWEEN new.slot_date - 1 AND new.slot_date + 1
          AND (other.starts_at < new.ends_at AND other.ends_at > new.starts_at
               OR other.slot_date = new.slot_date AND other.slot_start_time = new.slot_start_time) OFFSET 0)
    ON CONFLICT (service_id, staff_id, slot_date, starts_at) DO NOTHING
""")
_BLOCK = text(f"""
    UPDATE slots SET status = 'blocked', updated_at = CURRENT_TIMESTAMP
    WHERE {THIS_SLOT} RETURNING *
""")
_UNBLOCK = text(f"""
    UPDATE slots SET updated_at = CURRENT_TIMESTAMP,
        status = CASE WHEN booked_count = capacity THEN 'booked' ELSE 'available' END
    WHERE {THIS_SLOT} RETURNING *
""")
_UNUSED = f"""
    {THIS_SLOT}
    AND NOT EXISTS (SELECT FROM reservations WHERE slot_id = :slot_id)
    AND NOT EXISTS (SELECT FROM bookings WHERE slot_id = :slot_id)
"""
# FOR UPDATE waits for those who are about to refer to the slot, and keeps others from it: who makes or moves a hold or
# booking has a share in the slot's key. The next statement sees them all. What refers to a slot is never waited for
# under its lock: others lock that before the slot.
_LOCK_UNUSED = text(f"SELECT id FROM slots WHERE {_UNUSED} FOR UPDATE")
# The person's time goes with the slot.
_REMOVE = text(f"DELETE FROM slots WHERE {_UNUSED} RETURNING id")
_IS_THERE = text(f"SELECT id FROM slots WHERE {THIS_SLOT}")
_PAGE = text("""
    SELECT * FROM slots
    WHERE service_id = :service_id AND slot_date BETWEEN :from_date AND :to_date
      AND (NOT :available_only OR (status = 'available' AND starts_at > CURRENT_TIMESTAMP))
      AND (CAST(:after_start AS timestamptz) IS NULL
           OR (starts_at, id) > (CAST(:after_start AS timestamptz), CAST(:after_id AS uuid)))
    ORDER BY starts_at, id LIMIT :limit
""")


def lock_diary(tx: Transaction, whose: UUID) -> None:
    """Lets one at a time write into the diary of a person, or of a service without one, until the transaction ends."""
    tx.write(_LOCK_DIARY, {"whose": str(whose)})


async def open_slots(
    tx: Transaction,
    *,
    clinic_id: UUID,
    service_id: UUID,
    staff_id: UUID | None,
    capacity: int,
    openings: Sequence[Opening],
) -> int:
    """Makes slots in one statement; how many. Left out: what is past, exists, or meets something else of the person.

    The caller holds the diary. Without that the database would still refuse to book a person twice, but all slots of
    the statement with it.
    """
    row = {
        "clinic_id": clinic_id,
        "service_id": service_id,
        "staff_id": staff_id,
        "capacity": capacity,
        "ids": [id_of_date(opening.starts.date()) for opening in openings],
        "dates": [opening.starts.date() for opening in openings],
        "start_times": [opening.starts.time() for opening in openings],
        "end_times": [opening.ends.time() for opening in openings],
        "starts": [opening.starts_at for opening in openings],
        "ends": [opening.ends_at for opening in openings],
    }
    return (await tx.execute(_OPEN, row)).rowcount


async def block(tx: Transaction, slot_id: UUID) -> Row | None:
    """Takes a slot off the market; its seats and its person's time stay as they are."""
    return (await tx.execute(_BLOCK, {"slot_id": slot_id})).first()


async def unblock(tx: Transaction, slot_id: UUID) -> Row | None:
    """Puts a slot back on the market, full if it is full."""
    return (await tx.execute(_UNBLOCK, {"slot_id": slot_id})).first()


async def remove(tx: Transaction, slot_id: UUID) -> bool:
    """Takes a slot away, and with it its person's time; False when there is none.

    Raises SlotInUse when somebody has held or booked it.
    """
    this = {"slot_id": slot_id}
    if (await tx.execute(_LOCK_UNUSED, this)).first() and (await tx.execute(_REMOVE, this)).first():
        return True
    if (await tx.execute(_IS_THERE, this)).first():
        raise SlotInUse
    return False


async def page(
    tx: Transaction,
    service_id: UUID,
    days: tuple[date, date],
    available_only: bool,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row]:
    """Slots of a service whose date lies in `days`, earliest first, after the one at `after`."""
    row = {
        "service_id": service_id,
        "from_date": days[0],
        "to_date": days[1],
        "available_only": available_only,
        "after_start": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }
    return (await tx.execute(_PAGE, row)).all()
