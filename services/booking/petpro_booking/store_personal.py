"""Which rows of booking are about a person, and what they are told of them."""

from petpro_common.personal.held import Held

HELD = (
    Held(
        "reservations",
        "id, user_id, pet_id, service_id, slot_id, status, expires_at, created_at, updated_at, slot_date, clinic_id,"
        " starts_at, price, currency, commission_rate, cancellation_policy, requires_approval, checkout_status,"
        " checkout_count, failure_reason, booking_id, payment_id, notes",
        secrets="lock_id, checkout_saga_id",
    ),
    Held(
        "bookings",
        "id, reservation_id, user_id, pet_id, clinic_id, service_id, slot_id, payment_id, reference_code, amount,"
        " status, cancellation_reason, notes, created_at, updated_at, slot_date, starts_at, ends_at, timezone,"
        " currency, commission_rate, cancellation_policy, refund_ceiling, cancellation_status, cancellation_count,"
        " cancelled_by, refund_amount, refund_status, start_told_at",
        secrets="cancellation_saga_id",
    ),
    Held("account_pets", "id, user_id, is_deleted, version"),
    Held(
        "catalog_clinics",
        "id, owner_id, name, status, timezone, commission_rate, cancellation_policy, operating_hours, version",
        theirs="owner_id = :user_id",
    ),
    Held("catalog_staff", "id, clinic_id, user_id, working_hours, version"),
)
