"""Booking's rows as contract messages."""

from datetime import time
from decimal import Decimal
from typing import Any

from petpro.account.v1 import account_pb2
from petpro.booking.v1 import booking_pb2
from petpro_booking.refund_policy import Quote
from petpro_common.db import Row
from petpro_common.instants import timestamp
from petpro_common.money import Money

SLOT_STATUS = {
    "available": booking_pb2.SLOT_STATUS_AVAILABLE,
    "booked": booking_pb2.SLOT_STATUS_BOOKED,
    "blocked": booking_pb2.SLOT_STATUS_BLOCKED,
}
RESERVATION_STATUS = {
    "pending": booking_pb2.RESERVATION_STATUS_PENDING,
    "confirmed": booking_pb2.RESERVATION_STATUS_CONFIRMED,
    "cancelled": booking_pb2.RESERVATION_STATUS_CANCELLED,
    "expired": booking_pb2.RESERVATION_STATUS_EXPIRED,
}
CHECKOUT_STATUS = {
    "none": booking_pb2.CHECKOUT_STATUS_NONE,
    "awaiting_approval": booking_pb2.CHECKOUT_STATUS_AWAITING_APPROVAL,
    "awaiting_payment": booking_pb2.CHECKOUT_STATUS_AWAITING_PAYMENT,
    "confirmed": booking_pb2.CHECKOUT_STATUS_CONFIRMED,
    "failed": booking_pb2.CHECKOUT_STATUS_FAILED,
}
BOOKING_STATUS = {
    "confirmed": booking_pb2.BOOKING_STATUS_CONFIRMED,
    "in-progress": booking_pb2.BOOKING_STATUS_IN_PROGRESS,
    "completed": booking_pb2.BOOKING_STATUS_COMPLETED,
    "cancelled": booking_pb2.BOOKING_STATUS_CANCELLED,
    "no-show": booking_pb2.BOOKING_STATUS_NO_SHOW,
}
CANCELLATION_STATUS = {
    "none": booking_pb2.CANCELLATION_STATUS_NONE,
    "requested": booking_pb2.CANCELLATION_STATUS_REQUESTED,
    "cancelled": booking_pb2.CANCELLATION_STATUS_CANCELLED,
    "refused": booking_pb2.CANCELLATION_STATUS_REFUSED,
}


def slot(row: Row) -> booking_pb2.Slot:
    """A slot as everybody sees it."""
    return booking_pb2.Slot(
        id=str(row.id),
        service_id=str(row.service_id),
        staff_id=_text(row.staff_id),
        slot_date=row.slot_date.isoformat(),
        slot_start_time=minutes(row.slot_start_time),
        slot_end_time=minutes(row.slot_end_time),
        status=SLOT_STATUS[row.status],
        capacity=row.capacity,
        booked_count=row.booked_count,
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
    )


def reservation(row: Row, *, with_lock_id: bool) -> booking_pb2.Reservation:
    """A reservation; `with_lock_id` for its customer only."""
    return booking_pb2.Reservation(
        id=str(row.id),
        user_id=str(row.user_id),
        pet_id=str(row.pet_id),
        service_id=str(row.service_id),
        slot_id=str(row.slot_id),
        lock_id=row.lock_id if with_lock_id else "",
        status=RESERVATION_STATUS[row.status],
        expires_at=timestamp(row.expires_at),
        created_at=timestamp(row.created_at),
        price=Money(row.price, row.currency).to_proto(),
        checkout_status=CHECKOUT_STATUS[row.checkout_status],
        failure_reason=_text(row.failure_reason),
        booking_id=_text(row.booking_id),
        payment_id=_text(row.payment_id),
    )


def booking(row: Row) -> booking_pb2.Booking:
    """A booking, for its customer and the clinic alike."""
    refund = None if row.refund_amount is None else Money(row.refund_amount, row.currency).to_proto()
    return booking_pb2.Booking(
        id=str(row.id),
        reservation_id=_text(row.reservation_id),
        user_id=str(row.user_id),
        pet_id=str(row.pet_id),
        clinic_id=str(row.clinic_id),
        service_id=str(row.service_id),
        slot_id=str(row.slot_id),
        payment_id=_text(row.payment_id),
        reference_code=row.reference_code,
        amount=Money(row.amount, row.currency).to_proto(),
        status=BOOKING_STATUS[row.status],
        cancellation_reason=_text(row.cancellation_reason),
        notes=_text(row.notes),
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        cancellation_status=CANCELLATION_STATUS[row.cancellation_status],
        refund_amount=refund,
        refund_status=_text(row.refund_status),
    )


def visitor(person: account_pb2.User, pet: account_pb2.Pet, *, with_history: bool) -> booking_pb2.Visitor:
    """What a clinic is told of who comes; an empty pet is one that was deleted."""
    gender = account_pb2.Gender.Name(pet.gender).removeprefix("GENDER_").lower() if pet.gender else ""
    return booking_pb2.Visitor(
        full_name=person.full_name,
        phone_number=person.phone_number,
        pet_name=pet.name,
        species=pet.species,
        breed=pet.breed,
        birthdate=pet.birthdate,
        weight=pet.weight,
        gender=gender,
        microchip_id=pet.microchip_id,
        medical_history=pet.medical_history if with_history and pet.HasField("medical_history") else None,
    )


def refund_quote(quote: Quote) -> booking_pb2.QuoteRefundResponse:
    """What cancelling would give back."""
    kept = Money(quote.price.amount - quote.refund.amount, quote.price.currency)
    return booking_pb2.QuoteRefundResponse(
        refund_amount=quote.refund.to_proto(),
        kept_amount=kept.to_proto(),
        refund_percent=int(quote.percent),
        valid_until=timestamp(quote.valid_until) if quote.valid_until else None,
        policy_version=quote.policy_version,
        policy_of_service=quote.is_of_service,
        no_show_refund_amount=quote.no_show_refund.to_proto(),
    )


def month(row: Row) -> booking_pb2.MonthlySummary:
    """A clinic's month in one currency."""
    return booking_pb2.MonthlySummary(
        month=row.month.isoformat(),
        total_bookings=row.total_bookings,
        cancelled_count=row.cancelled_count,
        total_revenue=_total(row.total_revenue, row.currency),
        net_revenue=_total(row.net_revenue, row.currency),
    )


def _total(amount: Decimal, currency: str) -> Any:
    return Money(amount, currency).to_proto()


def _text(value: object | None) -> str:
    return "" if value is None else str(value)


def minutes(value: time) -> str:
    """A local time of day, as HH:MM."""
    return f"{value.hour:02}:{value.minute:02}"
