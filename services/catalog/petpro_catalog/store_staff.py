"""Every SQL statement about staff."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, insert, literal, or_, select, tuple_, update

from petpro_catalog import hours
from petpro_catalog.domain import StaffDetails, StaffMember
from petpro_catalog.tables import staff, staff_accounts
from petpro_common.db import Row, Transaction


async def member(tx: Transaction, staff_id: UUID, *, lock: bool = False) -> StaffMember | None:
    """One member of staff. With `lock` the row stays as it is until the transaction ends."""
    query = select(staff).where(staff.c.id == staff_id)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return member_of(row) if row else None


async def staff_of(tx: Transaction, clinic_id: UUID, after: tuple[str, UUID] | None, limit: int) -> list[StaffMember]:
    """Who works at a clinic by name and id, after the sort key `after`."""
    query = select(staff).where(staff.c.clinic_id == clinic_id)
    if after:
        query = query.where(tuple_(staff.c.name, staff.c.id) > tuple_(literal(after[0]), literal(after[1])))
    rows = (await tx.execute(query.order_by(staff.c.name, staff.c.id).limit(limit))).all()
    return [member_of(row) for row in rows]


async def add_member(tx: Transaction, staff_id: UUID, clinic_id: UUID, details: StaffDetails) -> StaffMember:
    """A new member of staff."""
    statement = insert(staff).values(id=staff_id, clinic_id=clinic_id, **_columns(details))
    return member_of((await tx.execute(statement.returning(staff))).one())


async def edit_member(tx: Transaction, staff_id: UUID, details: StaffDetails) -> StaffMember:
    """Writes what was edited, and counts the version up. The caller holds the row's lock."""
    counted = {"version": staff.c.version + 1, "updated_at": func.now()}
    statement = update(staff).where(staff.c.id == staff_id).values(**_columns(details), **counted)
    return member_of((await tx.execute(statement.returning(staff))).one())


async def was_member(tx: Transaction, clinic_id: UUID, person: UUID, at: datetime) -> bool:
    """Whether a person's account stood in an entry of the clinic at that instant, whatever became of it since."""
    theirs = (staff_accounts.c.clinic_id == clinic_id, staff_accounts.c.user_id == person)
    stood = (staff_accounts.c.since <= at, or_(staff_accounts.c.until.is_(None), staff_accounts.c.until > at))
    return bool((await tx.execute(select(exists().where(*theirs, *stood)))).scalar_one())


def _columns(details: StaffDetails) -> dict[str, Any]:
    return {
        "name": details.name,
        "email": details.email,
        "phone": details.phone or None,
        "role": details.role,
        "specialization": details.specialization or None,
        "photo_url": details.photo_url or None,
        "working_hours": None if details.working_hours is None else hours.to_json(details.working_hours),
        "user_id": details.user_id,
        "qualifications": list(details.qualifications),
    }


def member_of(row: Row) -> StaffMember:
    """The member of staff that a row holds."""
    details = StaffDetails(
        name=row.name,
        email=row.email,
        phone=row.phone or "",
        role=row.role,
        specialization=row.specialization or "",
        photo_url=row.photo_url or "",
        working_hours=None if row.working_hours is None else hours.from_json(row.working_hours),
        user_id=row.user_id,
        qualifications=tuple(row.qualifications),
    )
    return StaffMember(row.id, row.clinic_id, details, row.version, row.created_at, row.updated_at)
