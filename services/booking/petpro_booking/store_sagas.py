"""Every SQL statement of the sagas' starts and local steps.

Locks are taken in the order saga, reservation or booking, person, slot, and several of a kind in the order of their
ids. What is done to several reservations or bookings is one statement.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text

from petpro_booking import store
from petpro_booking.partitioned import THIS, ForEach
from petpro_common.db import Row, Transaction
from petpro_common.wire import BoundStatement

_BEGIN_CHECKOUTS = ForEach(
    """
    UPDATE reservations SET checkout_status = given.checkout_status, checkout_saga_id = given.saga_id,
        checkout_count = checkout_count + 1, failure_reason = NULL, booking_id = given.booking_id,
        payment_id = given.payment_id, notes = nullif(given.notes, ''), updated_at = clock_timestamp()
    FROM {given} WHERE reservations.id = given.id AND {theirs}
    """,
    "reservations",
    id="uuid",
    saga_id="uuid",
    booking_id="uuid",
    payment_id="uuid",
    notes="text",
    checkout_status="text",
)
_EXTEND_HOLD = text(f"""
    UPDATE reservations SET expires_at = greatest(expires_at, least(clock_timestamp() + :more, starts_at)),
        updated_at = clock_timestamp()
    WHERE {THIS}
""")
_NOTE_APPROVAL = text(f"""
    UPDATE reservations SET approved_at = clock_timestamp(), updated_at = clock_timestamp(),
        expires_at = least(clock_timestamp() + :time_to_pay, starts_at)
    WHERE {THIS} RETURNING expires_at
""")
_SET_CHECKOUT_STATUS = text(f"""
    UPDATE reservations SET checkout_status = :checkout_status, updated_at = clock_timestamp()
    WHERE {THIS}
""")
_FAIL_CHECKOUT = text(f"""
    UPDATE reservations SET checkout_status = 'failed', failure_reason = :reason, booking_id = NULL,
        updated_at = clock_timestamp()
    WHERE {THIS}
""")
_CANCEL_RESERVATION = text(f"""
    UPDATE reservations SET status = 'cancelled', updated_at = clock_timestamp()
    WHERE {THIS} AND status = 'pending'
""")
# OFFSET 0, here and below: PostgreSQL might read all services, clinics and staff, to look them up in memory.
_LOCK_RESERVATIONS_TO_PAY = ForEach(
    """
    SELECT held.*, CURRENT_TIMESTAMP AS now, held.expires_at <= clock_timestamp() AS has_run_out,
        EXISTS (SELECT FROM catalog_services WHERE id = held.service_id AND is_available OFFSET 0)
        AND EXISTS (SELECT FROM catalog_clinics WHERE id = held.clinic_id AND status = 'approved' OFFSET 0)
            AS is_offered
    FROM (SELECT * FROM reservations WHERE {theirs} ORDER BY id FOR UPDATE) AS held
    """,
    "reservations",
    id="uuid",
)
# What was asked counts as asked when the transaction began, as the saga's `created_at` says, not once the lock was had.
_LOCK_BOOKINGS_FOR = ForEach(
    """
    SELECT booking.*, CURRENT_TIMESTAMP AS now,
        EXISTS (SELECT FROM catalog_clinics WHERE id = booking.clinic_id AND owner_id = given.user_id OFFSET 0)
        OR EXISTS (SELECT FROM catalog_staff WHERE user_id = given.user_id AND clinic_id = booking.clinic_id OFFSET 0)
            AS is_of_clinic
    FROM (SELECT * FROM bookings WHERE {theirs} ORDER BY id FOR UPDATE) AS booking JOIN {given} ON given.id = booking.id
    """,
    "bookings",
    id="uuid",
    user_id="uuid",
)
# No comparison of the status that a partial index would fit: one holds all confirmed bookings.
_REQUEST_CANCELLATIONS = ForEach(
    """
    UPDATE bookings SET cancellation_status = 'requested', cancellation_saga_id = given.saga_id,
        cancellation_count = cancellation_count + 1, cancelled_by = given.by, refund_amount = given.refund_amount,
        refund_status = given.refund_status, updated_at = clock_timestamp()
    FROM {given} WHERE bookings.id = given.id AND {theirs}
      AND bookings.status || '' IN ('confirmed', 'in-progress')
      AND bookings.cancellation_status IS DISTINCT FROM 'requested'
    RETURNING bookings.cancellation_saga_id
    """,
    "bookings",
    id="uuid",
    saga_id="uuid",
    by="text",
    refund_amount="numeric",
    refund_status="text",
)
# What was frozen, as percent of the price, stays the least that goes back: by now the policy may say less.
_REFUSE_CANCELLATION = text(f"""
    UPDATE bookings SET cancellation_status = 'refused', cancelled_by = NULL,
        refund_amount = NULL, refund_status = 'refused',
        refund_floor = greatest(refund_floor, round(100 * refund_amount / nullif(amount, 0))),
        updated_at = clock_timestamp()
    WHERE {THIS} AND cancellation_status = 'requested'
    RETURNING called_off_reason IS NOT NULL AS is_called_off
""")
_KEEP_WORD = text(f"""
    UPDATE bookings SET called_off_reason = :reason, updated_at = clock_timestamp() WHERE {THIS}
""")
_LOCK_CALLED_OFF = text("""
    SELECT * FROM bookings
    WHERE called_off_reason IS NOT NULL AND status IN ('confirmed', 'in-progress')
      AND cancellation_status <> 'requested'
    ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
""")
# Once: a booking that is cancelled stays as it is, and its seat is given back once. What payment told of the refund
# since then is newer than its answer to the saga.
_CANCEL_BOOKINGS = ForEach(
    """
    UPDATE bookings SET status = 'cancelled', cancellation_status = 'cancelled', cancellation_reason = given.reason,
        refund_status = CASE WHEN bookings.refund_status = 'pending' AND given.told IS NOT NULL THEN given.told
                             ELSE bookings.refund_status END,
        updated_at = clock_timestamp()
    FROM {given} WHERE bookings.id = given.id AND {theirs} AND bookings.status <> 'cancelled'
    RETURNING bookings.id, bookings.user_id, bookings.clinic_id, bookings.slot_id, bookings.refund_status,
        bookings.payment_id, bookings.amount, bookings.currency
    """,
    "bookings",
    id="uuid",
    reason="text",
    told="text",
)
# A refund's status only moves on, from where payment says it stood: an event that comes late or twice changes nothing.
_SET_REFUND_STATUSES = ForEach(
    """
    UPDATE bookings SET refund_status = given.refund_status, updated_at = clock_timestamp()
    FROM {given} WHERE bookings.id = given.id AND {theirs}
      AND (bookings.cancellation_status IN ('requested', 'cancelled') OR bookings.status = 'no-show')
      AND bookings.refund_status IN ('pending', given.before)
    """,
    "bookings",
    id="uuid",
    refund_status="text",
    before="text",
)


@dataclass(frozen=True)
class CheckoutAttempt:
    """A checkout that begins: of which reservation, which booking is to come of it, and how far it has come.

    Without a payment where the clinic is to take the money: by that `store_unpaid` finds what is on its way.
    """

    id: UUID
    saga_id: UUID
    booking_id: UUID
    payment_id: UUID | None
    notes: str
    checkout_status: str


def begin_checkouts(tx: Transaction, attempts: Iterable[CheckoutAttempt]) -> None:
    """Notes on reservations which try is on its way; the caller holds their row locks."""
    tx.write(*_BEGIN_CHECKOUTS.bound(map(vars, attempts)))


def extend_hold(tx: Transaction, reservation_id: UUID, more: timedelta) -> None:
    """Holds the seat for `more` from now, never shorter than before and at most until the slot begins."""
    tx.write(_EXTEND_HOLD, {"id": reservation_id, "more": more})


async def note_approval(tx: Transaction, reservation_id: UUID, time_to_pay: timedelta) -> datetime:
    """Notes that the clinic said yes. The seat is held for `time_to_pay` from now, however long it was held before, and
    at most until the slot begins; until when."""
    row = {"id": reservation_id, "time_to_pay": time_to_pay}
    expires_at: datetime = (await tx.execute(_NOTE_APPROVAL, row)).scalar_one()
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


def locking_reservations_to_pay(reservation_ids: Iterable[UUID]) -> BoundStatement:
    """The statement of `store.lock_reservations`, for a round trip with others.

    Adds `is_offered`: whether the service and its clinic take bookings, by the copies of what catalog says.
    """
    return _LOCK_RESERVATIONS_TO_PAY.bound({"id": id_} for id_ in reservation_ids)


def locking_bookings_for(wanted: Iterable[tuple[UUID, UUID | None]]) -> BoundStatement:
    """The statement of `store.lock_booking` for several, each for somebody, for a round trip with others.

    Adds `is_of_clinic`: whether that person owns its clinic or is of its staff.
    """
    return _LOCK_BOOKINGS_FOR.bound({"id": booking_id, "user_id": user_id} for booking_id, user_id in wanted)


@dataclass(frozen=True)
class CancellationLock:
    """A cancellation that takes hold of a booking."""

    id: UUID
    saga_id: UUID
    by: str
    refund_amount: Decimal
    refund_status: str


async def request_cancellations(tx: Transaction, locks: Sequence[CancellationLock]) -> list[bool]:
    """Sets semantic locks; False, and nothing changes, where the booking has ended or one stands."""
    are_set = set((await tx.execute(*_REQUEST_CANCELLATIONS.bound(map(vars, locks)))).scalars())
    return [lock.saga_id in are_set for lock in locks]


async def refuse_cancellation(tx: Transaction, booking_id: UUID) -> bool:
    """Lifts the semantic lock: the booking stands as before, and no less goes back later than would have now.

    Whether its clinic has called it off meanwhile.
    """
    lifted = (await tx.execute(_REFUSE_CANCELLATION, {"id": booking_id})).first()
    return lifted is not None and bool(lifted.is_called_off)


def keeping_word(booking_id: UUID, reason: str) -> BoundStatement:
    """The statement that keeps a clinic's word on a booking, whose row lock the caller holds."""
    return _KEEP_WORD, {"id": booking_id, "reason": reason}


async def lock_called_off(tx: Transaction, batch: int) -> Sequence[Row]:
    """Up to `batch` bookings that wait to be cancelled by their clinics, with their row locks, passing over those that
    somebody else has locked."""
    return (await tx.execute(_LOCK_CALLED_OFF, {"batch": batch})).all()


@dataclass(frozen=True)
class CancelledBooking:
    """A booking that is cancelled, why, and what payment told of the refund."""

    id: UUID
    reason: str
    told: str | None


async def cancel_bookings(tx: Transaction, bookings: Sequence[CancelledBooking]) -> list[Row | None]:
    """Makes bookings cancelled and gives their seats back. None, and nothing changes, where it is cancelled already."""
    cancelled = {row.id: row for row in await tx.execute(*_CANCEL_BOOKINGS.bound(map(vars, bookings)))}
    store.free_seats(tx, [row.slot_id for row in cancelled.values()])
    return [cancelled.pop(booking.id, None) for booking in bookings]


@dataclass(frozen=True)
class RefundStatusChange:
    """What became of the refund of a cancelled booking or of a no-show, which stood at `before` until then."""

    id: UUID
    refund_status: str
    before: str


def set_refund_status(tx: Transaction, change: RefundStatusChange) -> None:
    """Notes it right before the commit, with all others of the transaction."""
    tx.at_end(_set_refund_statuses, change)


async def _set_refund_statuses(tx: Transaction, changes: list[RefundStatusChange]) -> None:
    """What is told of one booking is written one after the other, in its order."""
    while changes:
        first: dict[UUID, RefundStatusChange] = {}
        later = [each for each in changes if first.setdefault(each.id, each) is not each]
        tx.write(*_SET_REFUND_STATUSES.bound(map(vars, first.values())))
        changes = later
