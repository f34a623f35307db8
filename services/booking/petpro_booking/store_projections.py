"""Keeping the copies of what other services own, and looking them up. The highest version of each row wins."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import insert

from petpro_booking.tables import account_pets, catalog_clinics, catalog_services, catalog_staff
from petpro_common.db import Row, Transaction

_IS_OF_CLINIC = text("""
    SELECT EXISTS (SELECT FROM catalog_clinics WHERE id = :clinic_id AND owner_id = :user_id)
        OR EXISTS (SELECT FROM catalog_staff WHERE user_id = :user_id AND clinic_id = :clinic_id)
""")
_OWNER = text("SELECT owner_id FROM catalog_clinics WHERE id = :clinic_id")
_OFFER = text("""
    SELECT clinic.id AS clinic_id, clinic.timezone, service.requires_approval,
        service.is_available AND clinic.status = 'approved' AS is_offered
    FROM catalog_services service JOIN catalog_clinics clinic ON clinic.id = service.clinic_id
    WHERE service.id = :service_id
""")


async def is_of_clinic(tx: Transaction, user_id: UUID, clinic_id: UUID) -> bool:
    """Whether a person owns the clinic or is of its staff."""
    found: bool = (await tx.execute(_IS_OF_CLINIC, {"user_id": user_id, "clinic_id": clinic_id})).scalar_one()
    return found


async def owner_of(tx: Transaction, clinic_id: UUID) -> UUID | None:
    """Whose clinic it is; None when the copy is missing."""
    owner_id: UUID | None = (await tx.execute(_OWNER, {"clinic_id": clinic_id})).scalar()
    return owner_id


async def offer(tx: Transaction, service_id: UUID) -> Row | None:
    """The service's clinic, its IANA zone, whether both take bookings (`is_offered`), and whether the clinic is asked
    first; None when a copy is missing."""
    return (await tx.execute(_OFFER, {"service_id": service_id})).first()


def keep_clinic(tx: Transaction, clinic: Mapping[str, Any]) -> None:
    """Keeps a clinic, unless the copy is as new."""
    _keep(tx, catalog_clinics, clinic)


def keep_service(tx: Transaction, service: Mapping[str, Any]) -> None:
    """Keeps a service, unless the copy is as new. What the row does not name stays as it was."""
    _keep(tx, catalog_services, service)


def keep_staff(tx: Transaction, staff: Mapping[str, Any]) -> None:
    """Keeps a member of staff, unless the copy is as new."""
    _keep(tx, catalog_staff, staff)


def keep_pet(tx: Transaction, pet: Mapping[str, Any]) -> None:
    """Keeps whose pet it is, unless the copy is as new."""
    _keep(tx, account_pets, pet)


def _keep(tx: Transaction, table: Table, row: Mapping[str, Any]) -> None:
    statement = insert(table).values(row)
    changes = {name: statement.excluded[name] for name in row if name != "id"}
    newer = table.c.version < statement.excluded.version
    tx.write(statement.on_conflict_do_update(index_elements=["id"], set_=changes, where=newer))
