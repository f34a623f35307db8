"""Which rows of account are about a person, and what they are told of them."""

from petpro_common.personal.held import Held

HELD = (
    Held(
        "users",
        "id, email, full_name, phone_number, notification_prefs, created_at, updated_at, last_login_at,"
        " account_status, verification_status, role, version",
        secrets="password_hash",
        theirs="id = :user_id",
    ),
    Held(
        "pets",
        "id, user_id, name, species, breed, birthdate, weight, gender, medical_history, photo_url, microchip_id,"
        " created_at, updated_at, deleted_at, version",
    ),
    Held("sessions", "id, user_id, created_at, expires_at, revoked_at"),
    Held("user_operations", "id, at, verb, user_id, reason, role", secrets="operator"),
)
"""Refresh tokens and failed sign-ins are hashes of secrets and addresses, and are told to nobody."""
