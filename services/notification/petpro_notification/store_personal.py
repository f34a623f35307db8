"""Which rows of notification are about a person, what they are told of them, and what is left when they are erased."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Transaction
from petpro_common.personal import erasure
from petpro_common.personal.held import Held

HELD = (
    Held(
        "notifications",
        "id, user_id, booking_id, type, title, content, metadata, is_read, read_at, created_at",
        secrets="told_in, told_after",  # numbers of the database's own transactions
    ),
    Held(
        "deliveries",
        "id, notification_id, channel, status, tries, due_at, sent_at, reason, created_at, taken_by",
        theirs="notification_id IN (SELECT id FROM notifications WHERE user_id = :user_id)",
    ),
    Held("devices", "id, user_id, kind, token, created_at, registered_at", secrets="p256dh, auth"),
    erasure.HELD,
)

# Ids are what later news of the same booking are told by, and what the auditor counts.
_FORGET = text(r"""
    UPDATE notifications SET title = 'Erased', content = '', metadata = (
        SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(metadata) WHERE key LIKE '%\_id')
    WHERE user_id = ANY(CAST(:user_ids AS uuid[])) AND content <> ''
""")


_FORGET_DEVICES = text("DELETE FROM devices WHERE user_id = ANY(CAST(:user_ids AS uuid[]))")


async def forget(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Leaves that people were told, about what and when, and none of their devices. A delivery that is still due finds
    nobody to write to."""
    for statement in (_FORGET, _FORGET_DEVICES):
        tx.write(statement, {"user_ids": list(user_ids)})
