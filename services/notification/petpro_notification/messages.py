"""Events in: which ones tell a person something, what each must hold, and what is read from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from petpro_common.messaging.consumer import Unprocessable
from petpro_common.messaging.events import Event
from petpro_notification.domain import Type, checkout_failure_type


@dataclass(frozen=True)
class NotificationRequest:
    """One thing that one person is to be told. `booking_id` is None where no booking exists."""

    type: Type
    user_id: UUID
    booking_id: UUID | None
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Clinic:
    """What is kept of a clinic: nothing personal. `timezone` is its IANA zone."""

    id: UUID
    name: str
    timezone: str
    version: int


@dataclass(frozen=True)
class Offer:
    """What is kept of a clinic's service."""

    id: UUID
    clinic_id: UUID
    name: str
    duration_minutes: int
    version: int


_APPOINTMENT = ("booking_id", "slot_date", "slot_time")

# payment.failed is left out: the checkout that it ends says so itself, and once is enough.
TELLING: Mapping[str, tuple[Type | None, tuple[str, ...]]] = {
    "booking.confirmed": (Type.BOOKING_CONFIRMED, (*_APPOINTMENT, "reference_code", "amount")),
    "booking.cancelled": (Type.BOOKING_CANCELLED, ("booking_id", "refund_amount")),
    "booking.cancellation_refused": (Type.CANCELLATION_REFUSED, ("booking_id",)),
    "booking.rescheduled": (Type.BOOKING_RESCHEDULED, _APPOINTMENT),
    "booking.reminder_due": (Type.BOOKING_REMINDER, (*_APPOINTMENT, "starts_at")),
    "booking.completed": (Type.BOOKING_COMPLETED, ("booking_id",)),
    "booking.no_show": (Type.BOOKING_NO_SHOW, ("booking_id",)),
    "checkout.failed": (None, ("reason",)),
    "refund.succeeded": (Type.REFUND_SETTLED, ("booking_id", "amount")),
    "refund.manual": (Type.REFUND_DELAYED, ("booking_id", "amount")),
    "reservation.approval_requested": (Type.APPROVAL_REQUESTED, ("reservation_id", "slot_date", "slot_time")),
    "reservation.expired": (Type.RESERVATION_EXPIRED, ("reservation_id",)),
    "user.email_verification_requested": (Type.EMAIL_VERIFICATION, ("verification_id",)),
    "user.password_changed": (Type.PASSWORD_CHANGED, ()),
    "user.password_reset_requested": (Type.PASSWORD_RESET, ("reset_id",)),
}
"""The type of notification that each event makes, and the fields without which it cannot be told."""

_TOLD_TO = {"reservation.approval_requested": "owner_id"}
"""Who is told where it is not the customer, `user_id`."""

_READ: Mapping[str, Callable[[str], object]] = {
    "booking_id": UUID,
    "clinic_id": UUID,
    "service_id": UUID,
    "reset_id": UUID,
    "verification_id": UUID,
    "starts_at": datetime.fromisoformat,
    "ends_at": datetime.fromisoformat,
    "slot_date": date.fromisoformat,
    "slot_time": time.fromisoformat,
    "amount": Decimal,
    "paid_amount": Decimal,
    "refund_amount": Decimal,
}


def notification_request(event_type: str, event: Event) -> NotificationRequest:
    """Reads an event of `TELLING`. Raises Unprocessable when a field is missing or malformed."""
    type_, needed = TELLING[event_type]
    whom = _TOLD_TO.get(event_type, "user_id")
    missing = [name for name in (whom, *needed) if event.get(name) is None]
    if missing:
        raise Unprocessable(f"{event_type} lacks {', '.join(missing)}")
    _check(event_type, event)
    if type_ is None:
        # The id was minted for a booking that never came to be.
        return NotificationRequest(checkout_failure_type(str(event["reason"])), _id(event, whom), None, event)
    booking_id = _id(event, "booking_id") if event.get("booking_id") else None
    return NotificationRequest(type_, _id(event, whom), booking_id, event)


def clinic(event: Event) -> Clinic:
    """Reads clinic.changed. Raises Unprocessable when it is malformed."""
    try:
        return Clinic(UUID(event["clinic_id"]), str(event["name"]), str(event["timezone"]), int(event["version"]))
    except (KeyError, TypeError, ValueError) as fault:
        raise Unprocessable("clinic.changed is malformed") from fault


def offer(event: Event) -> Offer:
    """Reads service.changed. Raises Unprocessable when it is malformed."""
    try:
        return Offer(
            UUID(event["service_id"]),
            UUID(event["clinic_id"]),
            str(event["name"]),
            int(event["duration_minutes"]),
            int(event["version"]),
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise Unprocessable("service.changed is malformed") from fault


def _id(event: Event, name: str) -> UUID:
    try:
        return UUID(event[name])
    except (TypeError, ValueError, AttributeError) as fault:
        raise Unprocessable(f"{name} is no id") from fault


def _check(event_type: str, event: Event) -> None:
    for name, read in _READ.items():
        if event.get(name) is not None:
            try:
                read(str(event[name]))
            except (ValueError, InvalidOperation) as fault:
                raise Unprocessable(f"{name} of {event_type} is malformed") from fault
