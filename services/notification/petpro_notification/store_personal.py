"""Which rows of notification are about a person, and what they are told of them."""

from petpro_common.personal.held import Held

HELD = (
    Held("notifications", "id, user_id, booking_id, type, title, content, metadata, is_read, read_at, created_at"),
    Held(
        "deliveries",
        "id, notification_id, channel, status, tries, due_at, sent_at, reason, created_at",
        theirs="notification_id IN (SELECT id FROM notifications WHERE user_id = :user_id)",
    ),
)
