"""Seats; and reservations and bookings by their ids, or when they are due.

Holding is `store_holds`', confirming `store_confirm`'s; what sagas do to them is in `store_sagas`, their lists are in
`store_pages`.

Locks are taken in one order everywhere, so that nobody waits in a circle: saga, reservation or booking, then slots by
id. A look-up by id adds the date that the id carries and reads one partition. Times are the database's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import time, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text

from petpro_booking.domain import SlotBlocked, SlotFull, SlotInPast, SlotNotFound
from petpro_booking.partitioned import THESE_DAYS, THIS, THIS_SLOT, ForEach
from petpro_booking.refund_policy import Bounds
from petpro_common.db import Row, Transaction
from petpro_common.ids import span
from petpro_common.wire import BoundStatement

_TAKE_SEAT = text(f"""
    UPDATE slots SET booked_count = booked_count + 1, updated_at = CURRENT_TIMESTAMP,
        status = CASE WHEN booked_count + 1 = capacity THEN 'booked' ELSE 'available' END
    WHERE {THIS_SLOT} AND status = 'available' AND booked_count < capacity AND starts_at > CURRENT_TIMESTAMP
    RETURNING id, slot_date, slot_start_time, starts_at, ends_at
""")
_WHY_NO_SEAT = text(f"""
    SELECT status, booked_count = capacity AS is_full, starts_at <= CURRENT_TIMESTAMP AS has_begun
    FROM slots WHERE {THIS_SLOT}
""")
# One slot a statement, which prepares one partition of `slots`: a list of them prepares each, and there are many.
_FREE_SEATS = text(f"""
    UPDATE slots SET booked_count = greatest(booked_count - :seats, 0), updated_at = CURRENT_TIMESTAMP,
        status = CASE WHEN status = 'blocked' THEN 'blocked' ELSE 'available' END
    WHERE {THIS_SLOT} AND booked_count > 0
""")
# NO KEY: bookings that are made refer to the keys of slots, in any order.
_LOCK_SLOTS = text(f"""
    SELECT id, service_id FROM slots
    WHERE id = ANY(:slot_ids) AND {THESE_DAYS} ORDER BY id FOR NO KEY UPDATE
""")
_GET_SLOT = text(f"SELECT * FROM slots WHERE {THIS_SLOT}")

_GET_RESERVATION = text(f"SELECT * FROM reservations WHERE {THIS}")
_GET_RESERVATIONS = ForEach("SELECT * FROM reservations WHERE {theirs}", "reservations", id="uuid")
# The time is read outside of what locks: within, it would be that before the wait for a lock.
_LOCK_RESERVATIONS = ForEach(
    """
    SELECT held.*, clock_timestamp() AS now, held.expires_at <= clock_timestamp() AS has_run_out
    FROM (SELECT * FROM reservations WHERE {theirs} ORDER BY id FOR UPDATE) AS held
    """,
    "reservations",
    id="uuid",
)
_GIVE_BACK = text(f"""
    UPDATE reservations SET status = 'cancelled', updated_at = CURRENT_TIMESTAMP,
        checkout_status = CASE WHEN checkout_status = 'awaiting_approval' THEN 'none' ELSE checkout_status END
    WHERE {THIS} AND status = 'pending' RETURNING *
""")
# By the ids as one list: a join would be planned while a partition is empty, and read all of it for each hold then.
_EXPIRE = text("""
    WITH due AS (
        SELECT id, created_at FROM reservations
        WHERE status = 'pending' AND expires_at <= statement_timestamp()
        ORDER BY expires_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    UPDATE reservations r SET status = 'expired', updated_at = clock_timestamp()
    WHERE r.id = ANY(ARRAY(SELECT id FROM due)) AND r.created_at = ANY(ARRAY(SELECT created_at FROM due))
    RETURNING r.id, r.user_id, r.service_id, r.slot_id
""")
_NEXT_EXPIRY = text("""
    SELECT EXTRACT(epoch FROM min(expires_at) - clock_timestamp())::float FROM reservations WHERE status = 'pending'
""")

_GET_BOOKING = text(f"SELECT * FROM bookings WHERE {THIS}")
_GET_BOOKINGS = ForEach("SELECT * FROM bookings WHERE {theirs}", "bookings", id="uuid")
# When the transaction began, however long it waits for the lock: that is when somebody asked.
_LOCK_BOOKING = text(f"SELECT *, CURRENT_TIMESTAMP AS now FROM bookings WHERE {THIS} FOR UPDATE")
_LOOK_AT_BOOKING = text(f"SELECT *, clock_timestamp() AS now FROM bookings WHERE {THIS}")
_MOVE_BOOKING = text(f"""
    UPDATE bookings SET status = 'confirmed', slot_id = :slot_id, slot_date = :slot_date, starts_at = :starts_at,
        ends_at = :ends_at, refund_floor = :floor, refund_ceiling = :ceiling, updated_at = CURRENT_TIMESTAMP,
        start_told_at = CURRENT_TIMESTAMP
    WHERE {THIS} RETURNING *
""")
_SET_BOOKING_STATUS = text(f"""
    UPDATE bookings SET status = :status, updated_at = CURRENT_TIMESTAMP WHERE {THIS} RETURNING *
""")
_MARK_NO_SHOW = text(f"""
    UPDATE bookings SET status = 'no-show', refund_amount = :refund_amount,
        refund_status = CASE WHEN CAST(:refund_amount AS numeric) > 0 THEN 'pending' ELSE 'none' END,
        updated_at = CURRENT_TIMESTAMP
    WHERE {THIS} RETURNING *
""")
# By the ids as one list, as in _EXPIRE. In the order of the index by starts, or that of all that is confirmed might be
# taken.
_TAKE_DUE_REMINDERS = text("""
    WITH due AS (
        SELECT id, created_at FROM bookings
        WHERE status = 'confirmed' AND cancellation_status IN ('none', 'refused')
          AND starts_at > statement_timestamp() AND starts_at <= statement_timestamp() + CAST(:ahead AS interval)
          AND start_told_at < starts_at - CAST(:ahead AS interval)
        ORDER BY starts_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    UPDATE bookings b SET start_told_at = clock_timestamp()
    WHERE b.id = ANY(ARRAY(SELECT id FROM due)) AND b.created_at = ANY(ARRAY(SELECT created_at FROM due))
    RETURNING b.*
""")
# A statement of its own: within the one before, it took PostgreSQL down when two sweeps had met at one booking (why,
# says `partitioned`).
_START_TIMES = text("""
    SELECT id, slot_start_time FROM slots
    WHERE id = ANY(CAST(:ids AS uuid[])) AND slot_date = ANY(CAST(:dates AS date[]))
""")


async def take_seat(tx: Transaction, slot_id: UUID) -> Row:
    """Takes one seat, or none: one conditional UPDATE, so exactly `capacity` of any number of callers succeed.

    The slot's row stays locked until the transaction ends. Raises SlotNotFound, SlotInPast, SlotBlocked or SlotFull.
    """
    taken = (await tx.execute(_TAKE_SEAT, {"slot_id": slot_id})).first()
    if taken is not None:
        return taken
    found = (await tx.execute(_WHY_NO_SEAT, {"slot_id": slot_id})).first()
    if found is None:
        raise SlotNotFound
    if found.has_begun:
        raise SlotInPast
    if found.status == "blocked":
        raise SlotBlocked
    raise SlotFull


def free_seat(tx: Transaction, slot_id: UUID) -> None:
    """Gives one seat back, never below none; a blocked slot stays blocked. The caller gives each seat back once."""
    free_seats(tx, [slot_id])


def free_seats(tx: Transaction, slot_ids: Iterable[UUID]) -> None:
    """As `free_seat`, once for each time that a slot is named; slots are locked in the order of their ids."""
    for slot_id, seats in sorted(Counter(slot_ids).items()):
        tx.write(_FREE_SEATS, {"slot_id": slot_id, "seats": seats})


async def lock_slots(tx: Transaction, slot_ids: Sequence[UUID]) -> Mapping[UUID, Row]:
    """Locks the rows of those slots that exist, in the order of their ids; reads the months from first to last."""
    first, last = span(slot_ids)
    row = {"slot_ids": list(slot_ids), "first_slot_id": first, "last_slot_id": last}
    rows = (await tx.execute(_LOCK_SLOTS, row)).all()
    return {row.id: row for row in rows}


async def get_slot(tx: Transaction, slot_id: UUID) -> Row | None:
    """A slot as it is, without a lock."""
    return (await tx.execute(_GET_SLOT, {"slot_id": slot_id})).first()


async def get_reservation(tx: Transaction, reservation_id: UUID) -> Row | None:
    """A reservation as it is, without a lock."""
    return (await tx.execute(_GET_RESERVATION, {"id": reservation_id})).first()


def getting_reservations(reservation_ids: Iterable[UUID]) -> BoundStatement:
    """The statement of `get_reservation` for several, for a round trip with others."""
    return _GET_RESERVATIONS.bound({"id": id_} for id_ in reservation_ids)


async def lock_reservation(tx: Transaction, reservation_id: UUID) -> Row | None:
    """A reservation with its row lock: who holds it decides between confirm, cancel and expiry.

    Adds `now`, and `has_run_out`: whether its time was over when the row was read.
    """
    return (await lock_reservations(tx, [reservation_id])).get(reservation_id)


async def lock_reservations(tx: Transaction, reservation_ids: Iterable[UUID]) -> Mapping[UUID, Row]:
    """As `lock_reservation`: those of them that there are, by id, locked in the order of their ids."""
    return {row.id: row for row in await tx.execute(*locking_reservations(reservation_ids))}


def locking_reservations(reservation_ids: Iterable[UUID]) -> BoundStatement:
    """The statement of `lock_reservations`, for a round trip with others."""
    return _LOCK_RESERVATIONS.bound({"id": id_} for id_ in reservation_ids)


async def give_back(tx: Transaction, reservation_id: UUID) -> Row:
    """Cancels a pending reservation; the caller holds its row lock and frees the seat."""
    return (await tx.execute(_GIVE_BACK, {"id": reservation_id})).one()


async def expire(tx: Transaction, batch: int) -> Sequence[Row]:
    """Expires up to `batch` holds whose time is over, passing over those that somebody else has locked."""
    return (await tx.execute(_EXPIRE, {"batch": batch})).all()


async def seconds_to_next_expiry(tx: Transaction) -> float | None:
    """Until the next hold runs out, by the database's clock; negative when one is due, None when there is none."""
    seconds: float | None = (await tx.execute(_NEXT_EXPIRY)).scalar_one()
    return seconds


async def get_booking(tx: Transaction, booking_id: UUID) -> Row | None:
    """A booking as it is, without a lock."""
    return (await tx.execute(_GET_BOOKING, {"id": booking_id})).first()


def getting_bookings(booking_ids: Iterable[UUID]) -> BoundStatement:
    """The statement of `get_booking` for several, for a round trip with others."""
    return _GET_BOOKINGS.bound({"id": id_} for id_ in booking_ids)


async def lock_booking(tx: Transaction, booking_id: UUID) -> Row | None:
    """A booking with its row lock; adds `now`, when the transaction began."""
    return (await tx.execute(_LOCK_BOOKING, {"id": booking_id})).first()


async def look_at_booking(tx: Transaction, booking_id: UUID) -> Row | None:
    """A booking as it is, without a lock; adds `now`."""
    return (await tx.execute(_LOOK_AT_BOOKING, {"id": booking_id})).first()


async def move_booking(tx: Transaction, booking_id: UUID, slot: Row, bounds: Bounds) -> Row:
    """Puts a booking into another slot, in which it is confirmed; the caller holds the booking's lock and the seat.

    From then on what goes back lies within `bounds`.
    """
    row = {
        "id": booking_id,
        "slot_id": slot.id,
        "slot_date": slot.slot_date,
        "starts_at": slot.starts_at,
        "ends_at": slot.ends_at,
        "floor": bounds.floor,
        "ceiling": bounds.ceiling,
    }
    return (await tx.execute(_MOVE_BOOKING, row)).one()


async def set_booking_status(tx: Transaction, booking_id: UUID, status: str) -> Row:
    """Moves a booking on; the caller holds its row lock."""
    return (await tx.execute(_SET_BOOKING_STATUS, {"id": booking_id, "status": status})).one()


async def mark_no_show(tx: Transaction, booking_id: UUID, refund_amount: Decimal) -> Row:
    """Makes a booking a no-show, with what goes back; the caller holds its row lock."""
    return (await tx.execute(_MARK_NO_SHOW, {"id": booking_id, "refund_amount": refund_amount})).one()


async def take_due_reminders(tx: Transaction, ahead: timedelta, batch: int) -> Sequence[tuple[Row, time]]:
    """Marks up to `batch` bookings that begin within `ahead` as told of, passing over those that are locked.

    Not taken is what was told of within `ahead` of its start: booked or moved at so short notice, or reminded of.
    Each comes with the time at which its slot starts.
    """
    taken = (await tx.execute(_TAKE_DUE_REMINDERS, {"ahead": ahead, "batch": batch})).all()
    if not taken:
        return []
    slots = {"ids": [booking.slot_id for booking in taken], "dates": [booking.slot_date for booking in taken]}
    starts = {row.id: row.slot_start_time for row in await tx.execute(_START_TIMES, slots)}
    return [(booking, starts[booking.slot_id]) for booking in taken]
