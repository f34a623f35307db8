"""Every SQL statement about services."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, literal, select, tuple_, update

from petpro_catalog.domain import Service, ServiceDetails
from petpro_catalog.tables import services
from petpro_common.db import Row, Transaction
from petpro_common.money import Money


async def service(tx: Transaction, service_id: UUID, *, lock: bool = False) -> Service | None:
    """One service. With `lock` its row stays as it is until the transaction ends."""
    query = select(services).where(services.c.id == service_id)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return _service(row) if row else None


async def services_of(
    tx: Transaction, clinic_id: UUID, after: tuple[str, UUID] | None, limit: int, *, only_available: bool
) -> list[Service]:
    """A clinic's services by name and id, after the sort key `after`."""
    query = select(services).where(services.c.clinic_id == clinic_id)
    if only_available:
        query = query.where(services.c.is_available)
    if after:
        last = tuple_(literal(after[0]), literal(after[1]))
        query = query.where(tuple_(services.c.name, services.c.id) > last)
    rows = (await tx.execute(query.order_by(services.c.name, services.c.id).limit(limit))).all()
    return [_service(row) for row in rows]


async def add_service(tx: Transaction, service_id: UUID, clinic_id: UUID, details: ServiceDetails) -> Service:
    """A new service."""
    statement = insert(services).values(id=service_id, clinic_id=clinic_id, **_columns(details))
    return _service((await tx.execute(statement.returning(services))).one())


async def edit_service(tx: Transaction, service_id: UUID, details: ServiceDetails) -> Service:
    """Writes what was edited and counts the version up. The caller holds the row's lock."""
    counted = {"version": services.c.version + 1, "updated_at": func.now()}
    statement = update(services).where(services.c.id == service_id).values(**_columns(details), **counted)
    return _service((await tx.execute(statement.returning(services))).one())


def _columns(details: ServiceDetails) -> dict[str, Any]:
    return {
        "name": details.name,
        "description": details.description or None,
        "price": details.price.amount,
        "currency": details.price.currency,
        "duration_minutes": details.duration_minutes,
        "requires_approval": details.requires_approval,
        "is_available": details.is_available,
    }


def _service(row: Row) -> Service:
    details = ServiceDetails(
        name=row.name,
        description=row.description or "",
        price=Money(row.price, row.currency),
        duration_minutes=row.duration_minutes,
        requires_approval=row.requires_approval,
        is_available=row.is_available,
    )
    return Service(row.id, row.clinic_id, details, row.version, row.created_at, row.updated_at)
