"""The catalog's events, and the one of booking that it hears, as JSON fields.

Those who keep a copy take it from here: each event tells the whole of what others need, and no personal data.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from petpro_catalog import exceptional_days, hours, policy
from petpro_catalog.domain import Clinic, CompletedBooking, Review, Service, StaffMember


def clinic_changed(found: Clinic) -> dict[str, Any]:
    """The fields of clinic.changed: the clinic as it now is, for those who keep a copy."""
    return {
        "clinic_id": found.id,
        "owner_id": found.owner_id,
        "name": found.details.name,
        "city": found.details.city,
        "status": found.status.value,
        "timezone": found.details.timezone,
        "commission_rate": found.details.commission_rate,
        "cancellation_policy": policy.to_json(found.details.cancellation_policy, found.policy_version),
        "operating_hours": hours.to_json(found.details.operating_hours),
        "version": found.version,
    }


def service_changed(found: Service) -> dict[str, Any]:
    """The fields of service.changed. Without a policy of its own `cancellation_policy` is null."""
    details = found.details
    own = details.cancellation_policy
    return {
        "service_id": found.id,
        "clinic_id": found.clinic_id,
        "name": details.name,
        "price": details.price.amount,
        "currency": details.price.currency,
        "duration_minutes": details.duration_minutes,
        "requires_approval": details.requires_approval,
        "is_available": details.is_available,
        "cancellation_policy": policy.to_json(own, found.policy_version) if own and found.policy_version else None,
        "availability_exceptions": exceptional_days.to_json(details.availability_exceptions),
        "version": found.version,
    }


def staff_changed(found: StaffMember) -> dict[str, Any]:
    """The fields of staff.changed; no personal data."""
    details = found.details
    return {
        "staff_id": found.id,
        "clinic_id": found.clinic_id,
        "user_id": details.user_id,
        "role": details.role,
        "working_hours": None if details.working_hours is None else hours.to_json(details.working_hours),
        "version": found.version,
    }


def review_created(found: Review) -> dict[str, Any]:
    """The fields of review.created."""
    return {
        "review_id": found.id,
        "booking_id": found.booking_id,
        "clinic_id": found.clinic_id,
        "rating": found.opinion.rating,
    }


def review_changed(found: Review) -> dict[str, Any]:
    """The fields of review.changed."""
    return {**review_created(found), "is_published": found.is_published}


def booking_completed(event: Mapping[str, Any]) -> CompletedBooking:
    """What booking.completed tells. Raises KeyError or ValueError when it does not tell it."""
    return CompletedBooking(
        booking_id=UUID(event["booking_id"]),
        user_id=UUID(event["user_id"]),
        clinic_id=UUID(event["clinic_id"]),
        service_id=UUID(event["service_id"]),
        completed_at=datetime.fromisoformat(event["completed_at"]),
    )
