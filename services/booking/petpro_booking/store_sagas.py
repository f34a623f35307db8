"""Every SQL statement of the sagas' starts and local steps.

Locks are taken in the order saga, reservation or booking, slot. What is done for several is one statement for each, all
in one round trip: one that takes a list prepares every partition of its tables.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction
from petpro_common.wire import Order

_BEGIN_CHECKOUT = text("""
    UPDATE reservations SET checkout_status = :checkout_status, checkout_saga_id = :saga_id,
        checkout_count = checkout_count + 1, failure_reason = NULL, booking_id = :booking_id, payment_id = :payment_id,
        notes = :notes, updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id)
""")
_EXTEND_HOLD = text("""
    UPDATE reservations SET expires_at = greatest(expires_at, least(clock_timestamp() + :more, starts_at)),
        updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id) RETURNING expires_at
""")
_SET_CHECKOUT_STATUS = text("""
    UPDATE reservations SET checkout_status = :checkout_status, updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id)
""")
_FAIL_CHECKOUT = text("""
    UPDATE reservations SET checkout_status = 'failed', failure_reason = :reason, booking_id = NULL,
        updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id)
""")
_CANCEL_RESERVATION = text("""
    UPDATE reservations SET status = 'cancelled', updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id) AND status = 'pending'
""")
# With whether somebody owns its clinic or is of its staff.
_LOCK_BOOKING_FOR = text("""
    SELECT *, clock_timestamp() AS now,
        EXISTS (SELECT FROM catalog_clinics WHERE id = bookings.clinic_id AND owner_id = :user_id)
        OR EXISTS (SELECT FROM catalog_staff WHERE user_id = :user_id AND clinic_id = bookings.clinic_id)
            AS is_of_clinic
    FROM bookings WHERE id = :id AND created_at = uuid_extract_timestamp(:id) FOR UPDATE
""")
_REQUEST_CANCELLATION = text("""
    UPDATE bookings SET cancellation_status = 'requested', cancellation_saga_id = :saga_id,
        cancellation_count = cancellation_count + 1, cancelled_by = :by, refund_amount = :refund_amount,
        refund_status = :refund_status, updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id) AND status = 'confirmed'
      AND cancellation_status IS DISTINCT FROM 'requested'
""")
_REFUSE_CANCELLATION = text("""
    UPDATE bookings SET cancellation_status = 'refused', cancelled_by = NULL, refund_amount = NULL,
        refund_status = 'refused', updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id) AND cancellation_status = 'requested'
""")
# Once: a booking that is cancelled stays as it is, and its seat is given back once. What payment told of the refund
# since then is newer than its answer to the saga.
_CANCEL_BOOKING = text("""
    WITH cancelled AS (
        UPDATE bookings SET status = 'cancelled', cancellation_status = 'cancelled', cancellation_reason = :reason,
            refund_status = CASE WHEN refund_status = 'pending' AND CAST(:told AS text) IS NOT NULL THEN :told
                                 ELSE refund_status END,
            updated_at = clock_timestamp()
        WHERE id = :id AND created_at = uuid_extract_timestamp(:id) AND status <> 'cancelled'
        RETURNING id, user_id, clinic_id, slot_id, slot_date, refund_status
    ), freed AS (
        UPDATE slots SET booked_count = booked_count - 1, updated_at = CURRENT_TIMESTAMP,
            status = CASE WHEN status = 'blocked' THEN 'blocked' ELSE 'available' END
        FROM cancelled WHERE slots.id = slot_id AND slots.slot_date = cancelled.slot_date AND booked_count > 0
    )
    SELECT id, user_id, clinic_id, refund_status FROM cancelled
""")
# A refund's status only moves on, from where payment says it stood: an event that comes late or twice changes nothing.
_SET_REFUND_STATUS = text("""
    UPDATE bookings SET refund_status = :refund_status, updated_at = clock_timestamp()
    WHERE id = :id AND created_at = uuid_extract_timestamp(:id)
      AND (cancellation_status IN ('requested', 'cancelled') OR status = 'no-show')
      AND refund_status IN ('pending', :before)
""")


def begin_checkout(
    tx: Transaction, reservation_id: UUID, saga_id: UUID, booking_id: UUID, payment_id: UUID, notes: str, status: str
) -> None:
    """Notes on the reservation which try is on its way; the caller holds its row lock."""
    row = {
        "id": reservation_id,
        "saga_id": saga_id,
        "booking_id": booking_id,
        "payment_id": payment_id,
        "notes": notes or None,
        "checkout_status": status,
    }
    tx.write(_BEGIN_CHECKOUT, row)


async def extend_hold(tx: Transaction, reservation_id: UUID, more: timedelta) -> datetime:
    """Holds the seat for `more` from now, never shorter than before and at most until the slot begins."""
    expires_at: datetime = (await tx.execute(_EXTEND_HOLD, {"id": reservation_id, "more": more})).scalar_one()
    return expires_at


def set_checkout_status(tx: Transaction, reservation_id: UUID, status: str) -> None:
    """Notes how far the checkout has come."""
    tx.write(_SET_CHECKOUT_STATUS, {"id": reservation_id, "checkout_status": status})


def fail_checkout(tx: Transaction, reservation_id: UUID, reason: str) -> None:
    """Notes that the try has failed; the hold itself is not touched."""
    tx.write(_FAIL_CHECKOUT, {"id": reservation_id, "reason": reason})


def cancel_reservation(tx: Transaction, reservation_id: UUID) -> None:
    """Ends a pending reservation; the caller frees the seat in the same transaction."""
    tx.write(_CANCEL_RESERVATION, {"id": reservation_id})


def locking_booking_for(booking_id: UUID, user_id: UUID | None) -> Order:
    """The statement of `store.lock_booking`, for a round trip with others.

    Adds `is_of_clinic`: whether the person owns its clinic or is of its staff.
    """
    return _LOCK_BOOKING_FOR, {"id": booking_id, "user_id": user_id}


@dataclass(frozen=True)
class Request:
    """A cancellation that takes hold of its booking."""

    booking_id: UUID
    saga_id: UUID
    by: str
    refund_amount: Decimal
    refund_status: str


async def request_cancellations(tx: Transaction, requests: Iterable[Request]) -> list[bool]:
    """Sets semantic locks; False, and nothing changes, where the booking is not confirmed or one stands."""
    rows = [{**asdict(request), "id": request.booking_id} for request in requests]
    done = await tx.execute_all([(_REQUEST_CANCELLATION, row) for row in rows])
    return [each.rowcount > 0 for each in done]


def refuse_cancellation(tx: Transaction, booking_id: UUID) -> None:
    """Lifts the semantic lock: the booking stands as before."""
    tx.write(_REFUSE_CANCELLATION, {"id": booking_id})


async def cancel_bookings(tx: Transaction, ends: Iterable[tuple[UUID, str, str | None]]) -> list[Row | None]:
    """Makes bookings cancelled and gives their seats back: of each its id, why, and what payment told of the refund.

    None, and nothing changes, where it is cancelled already.
    """
    rows = [{"id": booking_id, "reason": reason, "told": told} for booking_id, reason, told in ends]
    return [done.first() for done in await tx.execute_all([(_CANCEL_BOOKING, row) for row in rows])]


def set_refund_status(tx: Transaction, booking_id: UUID, refund_status: str, before: str) -> None:
    """Notes what became of the refund of a cancelled booking or of a no-show, which stood at `before` until then."""
    row = {"id": booking_id, "refund_status": refund_status, "before": before}
    tx.write(_SET_REFUND_STATUS, row)
