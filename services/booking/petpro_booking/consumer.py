"""Events that booking follows: what its copies of catalog and account are made of, how refunds went, who was erased."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from petpro_booking import cancellation, refund_policy, store_personal, store_projections
from petpro_common.db import Transaction
from petpro_common.messaging.events import Event, EventHandler
from petpro_common.personal.erasure import erased


async def clinic_changed(tx: Transaction, event: Event) -> None:
    """catalog: a clinic, its hours, zone, commission or policy."""
    clinic = {
        "id": UUID(event["clinic_id"]),
        "owner_id": UUID(event["owner_id"]),
        "name": event["name"],
        "status": event["status"],
        "timezone": event["timezone"],
        "commission_rate": Decimal(str(event["commission_rate"])),
        "cancellation_policy": event["cancellation_policy"],
        "operating_hours": event["operating_hours"],
        "version": event["version"],
    }
    store_projections.keep_clinic(tx, clinic)


async def service_changed(tx: Transaction, event: Event) -> None:
    """catalog: what can be booked, for how much, under a policy of its own, and on which dates otherwise than usual.

    Releases before told of no policies, or of no such dates.
    """
    service_id = UUID(event["service_id"])
    service = {
        "id": service_id,
        "clinic_id": UUID(event["clinic_id"]),
        "name": event["name"],
        "price": Decimal(str(event["price"])),
        "currency": event["currency"],
        "duration_minutes": event["duration_minutes"],
        "requires_approval": event["requires_approval"],
        "is_available": event["is_available"],
        "version": event["version"],
    }
    if "cancellation_policy" in event:
        service["cancellation_policy"] = refund_policy.of_service(service_id, event["cancellation_policy"])
    if "availability_exceptions" in event:
        service["availability_exceptions"] = event["availability_exceptions"]
    store_projections.keep_service(tx, service)


async def staff_changed(tx: Transaction, event: Event) -> None:
    """catalog: who works where, and may act for the clinic."""
    staff: Mapping[str, Any] = {
        "id": UUID(event["staff_id"]),
        "clinic_id": UUID(event["clinic_id"]),
        "user_id": UUID(event["user_id"]) if event["user_id"] else None,
        "working_hours": event["working_hours"] or {},
        "version": event["version"],
    }
    store_projections.keep_staff(tx, staff)


async def pet_changed(tx: Transaction, event: Event) -> None:
    """account: whose pet it is."""
    pet = {
        "id": UUID(event["pet_id"]),
        "user_id": UUID(event["user_id"]),
        "is_deleted": event["is_deleted"],
        "version": event["version"],
    }
    store_projections.keep_pet(tx, pet)


HANDLERS: Mapping[str, EventHandler] = {
    "clinic.changed": clinic_changed,
    "service.changed": service_changed,
    "staff.changed": staff_changed,
    "pet.changed": pet_changed,
    "refund.succeeded": cancellation.refund_changed,
    "refund.manual": cancellation.refund_changed,
    "user.erased": erased(store_personal.forget),
}
