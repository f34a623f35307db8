"""The statements by which reservations become bookings: each for all of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from petpro_booking.partitioned import ForEach
from petpro_common.db import Row, Transaction

# Reservation, slot and clinic are each looked up by their keys, whatever is planned while tables are small.
_INSERT_BOOKINGS = ForEach(
    """
    WITH paid AS (
        SELECT given.*, reservation.*, slot.*,
            (SELECT timezone FROM catalog_clinics WHERE id = slot.clinic_id) AS timezone
        FROM {given} CROSS JOIN LATERAL (
            SELECT user_id, pet_id, service_id, price, currency, commission_rate, cancellation_policy, notes
            FROM reservations
            WHERE id = given.reservation_id AND created_at = uuid_extract_timestamp(given.reservation_id) OFFSET 0
        ) reservation CROSS JOIN LATERAL (
            SELECT clinic_id, slot_date, slot_start_time, starts_at, ends_at FROM slots
            WHERE id = given.slot_id AND slot_date = (uuid_extract_timestamp(given.slot_id) AT TIME ZONE 'UTC')::date
            OFFSET 0
        ) slot
    ), claimed AS (
        INSERT INTO reference_codes (reference_code, booking_id, reservation_id)
        SELECT reference_code, booking_id, reservation_id FROM paid
        ON CONFLICT (reference_code) DO NOTHING RETURNING booking_id
    ), made AS (
        INSERT INTO bookings (id, created_at, reservation_id, user_id, pet_id, clinic_id, service_id, slot_id,
            slot_date, starts_at, ends_at, timezone, payment_id, reference_code, amount, currency, commission_rate,
            cancellation_policy, refund_floor, notes)
        SELECT booking_id, uuid_extract_timestamp(booking_id), reservation_id, user_id, pet_id, clinic_id, service_id,
            slot_id, slot_date, starts_at, ends_at, timezone, payment_id, reference_code, price, currency,
            commission_rate, cancellation_policy, refund_floor, notes
        FROM paid WHERE booking_id IN (SELECT booking_id FROM claimed)
        RETURNING id, user_id, pet_id, clinic_id, service_id, slot_date, starts_at, ends_at, reference_code, amount,
            currency, payment_id
    )
    SELECT made.*, paid.slot_start_time FROM made JOIN paid ON paid.booking_id = made.id
    """,
    reservation_id="uuid",
    slot_id="uuid",
    booking_id="uuid",
    payment_id="uuid",
    refund_floor="smallint",
    reference_code="text",
)
_CONFIRM_RESERVATIONS = ForEach(
    """
    UPDATE reservations SET status = 'confirmed', checkout_status = 'confirmed', failure_reason = NULL,
        booking_id = given.booking_id, payment_id = given.payment_id, updated_at = CURRENT_TIMESTAMP
    FROM {given} WHERE reservations.id = given.id AND {theirs} AND reservations.status IN ('pending', 'expired')
    """,
    "reservations",
    id="uuid",
    booking_id="uuid",
    payment_id="uuid",
)


@dataclass(frozen=True)
class Draft:
    """A booking of a reservation, which holds a seat of that slot, under a code that may be another's."""

    reservation_id: UUID
    slot_id: UUID
    booking_id: UUID
    payment_id: UUID | None
    refund_floor: int
    reference_code: str


async def insert_bookings(tx: Transaction, drafts: Iterable[Draft]) -> Mapping[UUID, Row]:
    """Bookings, born confirmed, by id, with the `slot_start_time`; those are left out whose code is another's.

    A code is unique over all time. A second code for a booking, or a second booking of a reservation, is refused by the
    database (UniqueViolation), and so is one whose clinic is not known (NotNullViolation).
    """
    made = await tx.execute(*_INSERT_BOOKINGS.bound(map(vars, drafts)))
    return {row.id: row for row in made}


def confirm_reservations(tx: Transaction, confirmed: Iterable[tuple[UUID, UUID, UUID | None]]) -> None:
    """Makes reservations confirmed, each with its booking and payment; the caller holds their row locks and seats."""
    names = ("id", "booking_id", "payment_id")
    tx.write(*_CONFIRM_RESERVATIONS.bound(dict(zip(names, each, strict=True)) for each in confirmed))
