"""Which rows of booking are about a person, what they are told of them, and what is left when they are erased."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction
from petpro_common.personal import erasure
from petpro_common.personal.held import Held

ERASED = "erased"
"""What stands for words of a person who was erased, and as the reason of what ends because of it."""

HELD = (
    Held(
        "reservations",
        "id, user_id, pet_id, service_id, slot_id, status, expires_at, created_at, updated_at, slot_date, clinic_id,"
        " starts_at, price, currency, cancellation_policy, requires_approval, checkout_status, checkout_count,"
        " failure_reason, booking_id, payment_id, notes, approved_at",
        secrets="lock_id, checkout_saga_id, commission_rate",
    ),
    Held(
        "bookings",
        "id, reservation_id, user_id, pet_id, clinic_id, service_id, slot_id, payment_id, reference_code, amount,"
        " status, cancellation_reason, notes, created_at, updated_at, slot_date, starts_at, ends_at, timezone,"
        " currency, cancellation_policy, refund_ceiling, refund_floor, cancellation_status, cancellation_count,"
        " cancelled_by, refund_amount, refund_status, start_told_at, called_off_reason",
        secrets="cancellation_saga_id, commission_rate",
    ),
    Held("account_pets", "id, user_id, is_deleted, version"),
    Held(
        "catalog_clinics",
        "id, owner_id, name, status, timezone, commission_rate, cancellation_policy, operating_hours, version",
        theirs="owner_id = :user_id",
    ),
    Held("catalog_staff", "id, clinic_id, user_id, working_hours, version"),
    erasure.HELD,
)

_SAGAS = text("""
    SELECT checkout_saga_id FROM reservations
    WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND checkout_saga_id IS NOT NULL
    UNION
    SELECT cancellation_saga_id FROM bookings
    WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND cancellation_saga_id IS NOT NULL
""")
# A saga that ends forgets these by itself, long after the booking when its refund takes weeks or it is parked.
_FORGET_IN_SAGAS = text("""
    UPDATE sagas SET data = jsonb_set(jsonb_set(data, '{reason}', to_jsonb(CAST(:erased AS text)), false),
                                      '{notes}', to_jsonb(CAST(:erased AS text)), false)
    WHERE id = ANY(ARRAY(SELECT id FROM sagas WHERE id = ANY(CAST(:saga_ids AS uuid[])) ORDER BY id FOR UPDATE))
      AND status IN ('running', 'compensating', 'parked')
      AND (data->>'reason' NOT IN ('', :erased) OR data->>'notes' NOT IN ('', :erased))
""")
# In the order of the ids, as all who lock several do. An UPDATE by itself locks them as it comes upon them.
_LOCK_RESERVATIONS = text("""
    SELECT id FROM reservations WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND notes IS NOT NULL
    ORDER BY id FOR UPDATE
""")
_LOCK_BOOKINGS = text("""
    SELECT id FROM bookings WHERE user_id = ANY(CAST(:user_ids AS uuid[]))
      AND (notes IS NOT NULL OR cancellation_reason NOT IN ('', :erased))
    ORDER BY id FOR UPDATE
""")
_FORGET_IN_RESERVATIONS = text("""
    UPDATE reservations SET notes = NULL WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND notes IS NOT NULL
""")
# Whoever cancelled: a clinic's reason may be about the person.
_FORGET_IN_BOOKINGS = text("""
    UPDATE bookings SET notes = NULL,
        cancellation_reason = CASE WHEN cancellation_reason <> '' THEN CAST(:erased AS text)
                                   ELSE cancellation_reason END,
        called_off_reason = CASE WHEN called_off_reason <> '' THEN CAST(:erased AS text) ELSE called_off_reason END
    WHERE user_id = ANY(CAST(:user_ids AS uuid[]))
      AND (notes IS NOT NULL OR cancellation_reason NOT IN ('', :erased) OR called_off_reason NOT IN ('', :erased))
""")
_HOLDS = text("""
    SELECT id, user_id FROM reservations
    WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND status = 'pending' AND checkout_status <> 'awaiting_payment'
""")
# One whose refund was refused stands: to ask again each minute would change nothing.
_TO_COME = text("""
    SELECT id, user_id FROM bookings
    WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND status = 'confirmed' AND cancellation_status = 'none'
      AND starts_at > CURRENT_TIMESTAMP
    LIMIT :limit
""")


async def forget(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Leaves no words of people who were erased, nor those that sagas under way would write.

    Locks are taken in the order of everybody: sagas, reservations, bookings, each by id.
    """
    people = {"user_ids": list(user_ids)}
    saga_ids = list((await tx.execute(_SAGAS, people)).scalars())
    if saga_ids:
        tx.write(_FORGET_IN_SAGAS, {"saga_ids": saga_ids, "erased": ERASED})
    words = {**people, "erased": ERASED}
    tx.write(_LOCK_RESERVATIONS, people)
    tx.write(_FORGET_IN_RESERVATIONS, people)
    tx.write(_LOCK_BOOKINGS, words)
    tx.write(_FORGET_IN_BOOKINGS, words)


async def holds(tx: Transaction, user_ids: Sequence[UUID]) -> Sequence[Row]:
    """The seats that people hold and are not paying for."""
    return (await tx.execute(_HOLDS, {"user_ids": list(user_ids)})).all()


async def bookings_to_come(tx: Transaction, user_ids: Sequence[UUID], limit: int) -> Sequence[Row]:
    """Confirmed bookings of people that nobody has asked to cancel and that have not begun."""
    return (await tx.execute(_TO_COME, {"user_ids": list(user_ids), "limit": limit})).all()
