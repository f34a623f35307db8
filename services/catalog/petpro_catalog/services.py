"""What is done with services. Every change is told to the other services as service.changed."""

from collections.abc import Callable
from uuid import UUID

from petpro_catalog import clinics, events, rules, store_services
from petpro_catalog.domain import ClinicNotFound, Service, ServiceDetails, ServiceNotFound
from petpro_common.context import Caller
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import outbox


async def add(tx: Transaction, clinic_id: UUID, caller: Caller, details: ServiceDetails) -> Service:
    """Adds a service to a clinic. Raises ClinicNotFound, Forbidden and InvalidRequest."""
    await clinics.editable(tx, clinic_id, caller)
    rules.check_service(details)
    rules.check_currency(details.price)
    return _announced(tx, await store_services.add_service(tx, new_id(), clinic_id, details))


async def reachable(tx: Transaction, service_id: UUID, caller: Caller | None) -> Service:
    """A service whose id the caller has, perhaps from a booking. Raises ServiceNotFound."""
    service = await store_services.service(tx, service_id)
    if service is None:
        raise ServiceNotFound
    try:
        await clinics.reachable(tx, service.clinic_id, caller)
    except ClinicNotFound:
        raise ServiceNotFound from None
    return service


async def edit(
    tx: Transaction, service_id: UUID, caller: Caller, change: Callable[[Service], ServiceDetails]
) -> Service:
    """Edits a service by `change`; a policy that changed is a new version. Without one the clinic's holds again.

    A service of a currency that is not taken any more can be edited otherwise, and taken off the market.
    Raises ServiceNotFound, Forbidden and InvalidRequest.
    """
    service = await store_services.service(tx, service_id, lock=True)
    if service is None:
        raise ServiceNotFound
    try:
        await clinics.editable(tx, service.clinic_id, caller)
    except ClinicNotFound:
        raise ServiceNotFound from None
    details = change(service)
    if details == service.details:
        return service
    rules.check_service(details)
    if details.price.currency != service.details.price.currency:
        rules.check_currency(details.price)
    policy_version = service.policy_version
    if details.cancellation_policy != service.details.cancellation_policy:
        own = details.cancellation_policy
        policy_version = await store_services.add_policy(tx, service_id, own) if own else None
    return _announced(tx, await store_services.edit_service(tx, service_id, details, policy_version))


def _announced(tx: Transaction, service: Service) -> Service:
    outbox.add_event(tx, "catalog", "service.changed", service.id, events.service_changed(service))
    return service
