"""The statements by which reservations become bookings: each for all of them in one round trip."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text

from petpro_booking.tables import bookings
from petpro_common.db import Row, Transaction

_SLOT_AND_ZONE = text("""
    SELECT *, (SELECT timezone FROM catalog_clinics WHERE id = slots.clinic_id) FROM slots
    WHERE id = :slot_id AND slot_date = (uuid_extract_timestamp(:slot_id) AT TIME ZONE 'UTC')::date
""")
_CLAIM_CODE = text("""
    INSERT INTO reference_codes (reference_code, booking_id, reservation_id)
    VALUES (:reference_code, :booking_id, :reservation_id)
    ON CONFLICT (reference_code) DO NOTHING
""")
_INSERT_BOOKING = insert(bookings).returning(bookings)
_CONFIRM_RESERVATION = text("""
    UPDATE reservations SET status = 'confirmed', checkout_status = 'confirmed', failure_reason = NULL,
        booking_id = :booking_id, payment_id = :payment_id, updated_at = CURRENT_TIMESTAMP
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id) AND status IN ('pending', 'expired')
""")


async def slots_of(tx: Transaction, slot_ids: Iterable[UUID]) -> list[Row | None]:
    """Slots as they are, in this order; adds the `timezone` of the clinic."""
    found = await tx.execute_all([(_SLOT_AND_ZONE, {"slot_id": slot_id}) for slot_id in slot_ids])
    return [rows.first() for rows in found]


async def claim_reference_codes(tx: Transaction, wanted: Iterable[tuple[str, UUID, UUID]]) -> list[bool]:
    """Whether each code is now that booking's, of that reservation: it is unique over all time.

    A second code for a booking, or a second booking of a reservation, is refused by the database (IntegrityError).
    """
    rows = [
        {"reference_code": code, "booking_id": booking_id, "reservation_id": reservation_id}
        for code, booking_id, reservation_id in wanted
    ]
    return [done.rowcount > 0 for done in await tx.execute_all([(_CLAIM_CODE, row) for row in rows])]


async def insert_bookings(tx: Transaction, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Bookings, born confirmed."""
    return [made.one() for made in await tx.execute_all([(_INSERT_BOOKING, row) for row in rows])]


def confirm_reservation(tx: Transaction, reservation_id: UUID, booking_id: UUID, payment_id: UUID | None) -> None:
    """Makes a reservation confirmed; the caller holds its row lock, and the seat."""
    row = {"id": reservation_id, "booking_id": booking_id, "payment_id": payment_id}
    tx.write(_CONFIRM_RESERVATION, row)
