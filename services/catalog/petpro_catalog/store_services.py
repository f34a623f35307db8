"""Every SQL statement about services and the policies of single services."""

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, insert, literal, select, tuple_, update

from petpro_catalog import exceptional_days
from petpro_catalog.domain import Service, ServiceDetails, ServiceNotFound
from petpro_catalog.policy import Policy, tiers_from_json, tiers_to_json
from petpro_catalog.tables import service_policies, services
from petpro_common.db import Row, Transaction
from petpro_common.money import Money

_FIRST_POLICY = 1


async def service(tx: Transaction, service_id: UUID, *, lock: bool = False) -> Service | None:
    """One service. With `lock` its row stays as it is until the transaction ends."""
    if lock:
        # A statement of its own: one that waits for the lock would see the new service, and of its policies the old.
        tx.write(select(services.c.id).where(services.c.id == service_id).with_for_update())
    row = (await tx.execute(_services_with_policy().where(services.c.id == service_id))).first()
    return _service(row) if row else None


async def services_of(
    tx: Transaction, clinic_id: UUID, after: tuple[str, UUID] | None, limit: int, *, only_available: bool
) -> list[Service]:
    """A clinic's services by name and id, after the sort key `after`."""
    query = _services_with_policy().where(services.c.clinic_id == clinic_id)
    if only_available:
        query = query.where(services.c.is_available)
    if after:
        last = tuple_(literal(after[0]), literal(after[1]))
        query = query.where(tuple_(services.c.name, services.c.id) > last)
    rows = (await tx.execute(query.order_by(services.c.name, services.c.id).limit(limit))).all()
    return [_service(row) for row in rows]


async def add_service(tx: Transaction, service_id: UUID, clinic_id: UUID, details: ServiceDetails) -> Service:
    """A new service, with version 1 of its policy where it has its own."""
    own = details.cancellation_policy
    values = {**_columns(details), "policy_version": _FIRST_POLICY if own else None}
    tx.write(insert(services).values(id=service_id, clinic_id=clinic_id, **values))
    if own:
        await add_policy(tx, service_id, own)
    return await _known(tx, service_id)


async def add_policy(tx: Transaction, service_id: UUID, policy: Policy) -> int:
    """The next version of a service's own policy; versions are never changed. The caller holds the row's lock."""
    known = select(func.coalesce(func.max(service_policies.c.version), 0) + 1)
    row = {
        "service_id": service_id,
        "version": known.where(service_policies.c.service_id == service_id).scalar_subquery(),
        "tiers": tiers_to_json(policy.tiers),
        "no_show_fee_percent": policy.no_show_fee_percent,
    }
    statement = insert(service_policies).values(row).returning(service_policies.c.version)
    return int((await tx.execute(statement)).scalar_one())


async def edit_service(
    tx: Transaction, service_id: UUID, details: ServiceDetails, policy_version: int | None
) -> Service:
    """Writes what was edited and counts the version up. The caller holds the row's lock."""
    counted = {"version": services.c.version + 1, "updated_at": func.now(), "policy_version": policy_version}
    tx.write(update(services).where(services.c.id == service_id).values(**_columns(details), **counted))
    return await _known(tx, service_id)


async def _known(tx: Transaction, service_id: UUID) -> Service:
    found = await service(tx, service_id)
    if found is None:
        raise ServiceNotFound
    return found


@cache
def _services_with_policy() -> Select[Any]:
    own = and_(service_policies.c.service_id == services.c.id, service_policies.c.version == services.c.policy_version)
    policy = service_policies.c.tiers, service_policies.c.no_show_fee_percent
    return select(services, *policy).outerjoin(service_policies, own)


def _columns(details: ServiceDetails) -> dict[str, Any]:
    return {
        "name": details.name,
        "description": details.description or None,
        "price": details.price.amount,
        "currency": details.price.currency,
        "duration_minutes": details.duration_minutes,
        "requires_approval": details.requires_approval,
        "is_available": details.is_available,
        "availability_exceptions": exceptional_days.to_json_with_reasons(details.availability_exceptions),
    }


def _service(row: Row) -> Service:
    own = None if row.tiers is None else Policy(tiers_from_json(row.tiers), row.no_show_fee_percent)
    details = ServiceDetails(
        name=row.name,
        description=row.description or "",
        price=Money(row.price, row.currency),
        duration_minutes=row.duration_minutes,
        requires_approval=row.requires_approval,
        is_available=row.is_available,
        cancellation_policy=own,
        availability_exceptions=exceptional_days.from_json(row.availability_exceptions),
    )
    return Service(row.id, row.clinic_id, details, row.policy_version, row.version, row.created_at, row.updated_at)
