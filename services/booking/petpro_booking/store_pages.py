"""Pages of bookings and reservations, newest first: what is older than `before`, by keyset."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction

_PAGE = """
    SELECT * FROM {table} WHERE {whose} AND (CAST(:status AS text) IS NULL OR status = :status)
      AND (CAST(:before AS uuid) IS NULL OR (created_at, id) < (uuid_extract_timestamp(:before), :before))
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""
_BOOKINGS_OF_USER = text(_PAGE.format(table="bookings", whose="user_id = :owner_id"))
_BOOKINGS_OF_CLINIC = text(_PAGE.format(table="bookings", whose="clinic_id = :owner_id"))
_RESERVATIONS_OF_USER = text(_PAGE.format(table="reservations", whose="user_id = :owner_id"))
# As its partial index says it.
_AWAITING_CLINIC = text(
    _PAGE.format(
        table="reservations",
        whose="clinic_id = :owner_id AND status = 'pending' AND checkout_status = 'awaiting_approval'",
    )
)


async def bookings_of_user(
    tx: Transaction, user_id: UUID, status: str | None, before: UUID | None, limit: int
) -> Sequence[Row]:
    """A person's bookings."""
    row = {"owner_id": user_id, "status": status, "before": before, "limit": limit}
    return (await tx.execute(_BOOKINGS_OF_USER, row)).all()


async def bookings_of_clinic(
    tx: Transaction, clinic_id: UUID, status: str | None, before: UUID | None, limit: int
) -> Sequence[Row]:
    """A clinic's bookings."""
    row = {"owner_id": clinic_id, "status": status, "before": before, "limit": limit}
    return (await tx.execute(_BOOKINGS_OF_CLINIC, row)).all()


async def reservations_of_user(
    tx: Transaction, user_id: UUID, status: str | None, before: UUID | None, limit: int
) -> Sequence[Row]:
    """A person's reservations."""
    row = {"owner_id": user_id, "status": status, "before": before, "limit": limit}
    return (await tx.execute(_RESERVATIONS_OF_USER, row)).all()


async def awaiting_clinic(tx: Transaction, clinic_id: UUID, before: UUID | None, limit: int) -> Sequence[Row]:
    """The reservations that wait for a clinic's approval."""
    row = {"owner_id": clinic_id, "status": None, "before": before, "limit": limit}
    return (await tx.execute(_AWAITING_CLINIC, row)).all()
