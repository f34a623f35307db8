"""Which rows of the catalog are about a person, and what they are told of them."""

from petpro_common.personal.held import Held

HELD = (
    Held(
        "clinics",
        "id, owner_id, name, address, city, province, postal_code, latitude, longitude, phone_number, email, website,"
        " description, operating_hours, facilities, status, commission_rate, created_at, updated_at, timezone,"
        " policy_version, version, review_count, rating_sum",
        theirs="owner_id = :user_id",
    ),
    Held(
        "staff",
        "id, clinic_id, name, email, phone, role, specialization, photo_url, working_hours, qualifications,"
        " created_at, updated_at, user_id, version",
    ),
    Held(
        "reviews",
        "id, booking_id, user_id, clinic_id, service_id, rating, comment, attachments, is_verified, is_published,"
        " created_at, updated_at",
    ),
    Held("completed_bookings", "booking_id, user_id, clinic_id, service_id, completed_at", key="booking_id"),
)
