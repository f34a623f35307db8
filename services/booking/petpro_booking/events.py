"""Booking's events, with all fields of the domain document.

What the document does not know is additive: further fields, such as `currency`, and further events.
"""

from collections.abc import Mapping
from datetime import time
from typing import Any
from uuid import UUID

from petpro_booking.messages import minutes
from petpro_common.db import Row, Transaction
from petpro_common.messaging.outbox import add_event
from petpro_common.money import Money


def reservation_created(tx: Transaction, row: Row) -> None:
    """A seat is held."""
    fields = {**_hold(row), "pet_id": row.pet_id, "expires_at": row.expires_at}
    add_event(tx, "booking", "reservation.created", row.id, fields)


def reservation_expired(tx: Transaction, row: Row) -> None:
    """A hold ran out; its seat is free."""
    add_event(tx, "booking", "reservation.expired", row.id, _hold(row))


def reservation_cancelled(tx: Transaction, row: Row) -> None:
    """A hold was given back, or declined by its clinic; its seat is free."""
    add_event(tx, "booking", "reservation.cancelled", row.id, _hold(row))


def reservation_approval_requested(tx: Transaction, row: Row, slot_time: time, owner_id: UUID) -> None:
    """A reservation waits for the word of its clinic, whose owner is told; until `expires_at`."""
    fields = {
        **_hold(row),
        "clinic_id": row.clinic_id,
        "owner_id": owner_id,
        "slot_date": row.slot_date,
        "slot_time": minutes(slot_time),
        "expires_at": row.expires_at,
    }
    add_event(tx, "booking", "reservation.approval_requested", row.id, fields)


def booking_confirmed(tx: Transaction, row: Row, paid: Money) -> None:
    """A reservation is a booking, so much of it `paid`; `row` with the `slot_start_time`, and the slot's instants."""
    fields = {
        **_visit(row),
        "reference_code": row.reference_code,
        "pet_id": row.pet_id,
        "service_id": row.service_id,
        "slot_date": row.slot_date,
        "slot_time": minutes(row.slot_start_time),
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "amount": row.amount,
        "paid_amount": paid.amount,
        "currency": row.currency,
    }
    add_event(tx, "booking", "booking.confirmed", row.id, fields)


def booking_cancelled(tx: Transaction, row: Row, paid: Money, data: Mapping[str, Any]) -> None:
    """A booking is cancelled, of which so much was `paid`; why, and what goes back, as its saga's `data` say."""
    fields = {
        **_visit(row),
        "cancellation_reason": data["reason"],
        "paid_amount": paid.amount,
        "refund_amount": data["refund_amount"],
        "refund_status": row.refund_status,
        "currency": data["currency"],
    }
    add_event(tx, "booking", "booking.cancelled", row.id, fields)


def booking_cancellation_refused(tx: Transaction, data: Mapping[str, Any], reason: str) -> None:
    """The provider refused the refund: the booking stands as before."""
    fields = {name: data[name] for name in ("booking_id", "user_id", "clinic_id")}
    add_event(tx, "booking", "booking.cancellation_refused", UUID(data["booking_id"]), {**fields, "reason": reason})


def checkout_failed(tx: Transaction, data: Mapping[str, Any], reason: str) -> None:
    """A try to pay has come to nothing; whatever was paid goes back."""
    fields = {
        **{name: data[name] for name in ("reservation_id", "booking_id", "user_id", "clinic_id")},
        "reason": reason,
        "refund_amount": data["amount"] if "paid_at" in data else "0.00",
        "currency": data["currency"],
    }
    add_event(tx, "booking", "checkout.failed", UUID(data["reservation_id"]), fields)


def booking_rescheduled(tx: Transaction, row: Row, slot_time: time) -> None:
    """A booking moved to another slot, or its slot to other instants."""
    fields = {
        **_visit(row),
        "service_id": row.service_id,
        "slot_date": row.slot_date,
        "slot_time": minutes(slot_time),
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
    }
    add_event(tx, "booking", "booking.rescheduled", row.id, fields)


def booking_reminder_due(tx: Transaction, row: Row, slot_time: time) -> None:
    """A booking begins before long, and its customer is to be reminded."""
    fields = {
        **_visit(row),
        "reference_code": row.reference_code,
        "service_id": row.service_id,
        "slot_date": row.slot_date,
        "slot_time": minutes(slot_time),
        "starts_at": row.starts_at,
    }
    add_event(tx, "booking", "booking.reminder_due", row.id, fields)


def booking_checked_in(tx: Transaction, row: Row) -> None:
    """The pet is here."""
    add_event(tx, "booking", "booking.checked_in", row.id, _visit(row))


def booking_completed(tx: Transaction, row: Row) -> None:
    """The visit is over."""
    fields = {**_visit(row), "service_id": row.service_id, "completed_at": row.updated_at}
    add_event(tx, "booking", "booking.completed", row.id, fields)


def booking_no_show(tx: Transaction, row: Row) -> None:
    """Nobody came, and so much goes back."""
    refund = {"refund_amount": row.refund_amount, "refund_status": row.refund_status, "currency": row.currency}
    add_event(tx, "booking", "booking.no_show", row.id, {**_visit(row), **refund})


def _hold(row: Row) -> dict[str, Any]:
    return {
        "reservation_id": row.id,
        "user_id": row.user_id,
        "service_id": row.service_id,
        "slot_id": row.slot_id,
    }


def _visit(row: Row) -> dict[str, Any]:
    return {"booking_id": row.id, "user_id": row.user_id, "clinic_id": row.clinic_id}
