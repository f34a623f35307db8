"""The rules of booking: what is refused and why, and which state follows which.

slot          available <-> booked (every seat taken);  any <-> blocked (the clinic's word);
              removed by the clinic while nobody has held or booked it
reservation   pending -> confirmed | cancelled | expired;  expired -> confirmed (paid late, seat still free)
booking       confirmed <-> in-progress -> completed
                  |  |          |     and back where it is moved before it begins
                  |  |          +--> cancelled (by its customer until it begins, by the clinic also later)
                  |  +---> no-show
                  +------> cancelled
"""

import secrets
from datetime import datetime, timedelta, tzinfo
from typing import Any

from petpro_common.errors import Forbidden, NotFound, Overloaded, WrongState

# Without 0/O, 1/I/L and U/V, which people mix up when they read a code out.
_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTWXYZ"
_CODE_LENGTH = 8
_SHORTLY = timedelta(hours=2)
"""So long before it a visit at night may be begun, though it still is the day before."""


class SlotNotFound(NotFound):
    """No such slot."""

    reason = "SLOT_NOT_FOUND"


class SlotFull(WrongState):
    """No seat is left in this slot."""

    reason = "SLOT_FULL"


class SlotBlocked(WrongState):
    """The clinic has taken this slot off the market."""

    reason = "SLOT_BLOCKED"


class SlotInUse(WrongState):
    """Somebody has held or booked this slot; it can be blocked, and not removed."""

    reason = "SLOT_IN_USE"


class SlotInPast(WrongState):
    """The slot has begun or is over."""

    reason = "SLOT_IN_PAST"


class TooManyHolds(Overloaded):
    """You hold as many seats as you may at once; book one, give one back, or wait until one runs out."""

    reason = "TOO_MANY_HOLDS"

    def __init__(self, most: int, until_one_runs_out: timedelta) -> None:
        super().__init__(most=most)
        self.retry_after = until_one_runs_out


class TooManyUnpaidBookings(Overloaded):
    """You have as many bookings to be paid at the clinic as you may; pay for this one now, cancel one, or wait until
    one begins."""

    reason = "TOO_MANY_UNPAID_BOOKINGS"

    def __init__(self, most: int, until_one_begins: timedelta) -> None:
        super().__init__(most=most)
        self.retry_after = until_one_begins


class ReservationNotFound(NotFound):
    """No such reservation."""

    reason = "RESERVATION_NOT_FOUND"


class ReservationExpired(WrongState):
    """The hold ran out; hold a slot again."""

    reason = "RESERVATION_EXPIRED"


class ReservationNotPending(WrongState):
    """The reservation is not pending any more."""

    reason = "RESERVATION_NOT_PENDING"


class WrongLockId(Forbidden):
    """The lock id is not the one that the hold was made with."""

    reason = "WRONG_LOCK_ID"


class CheckoutInProgress(WrongState):
    """A payment for this reservation is on its way."""

    reason = "CHECKOUT_IN_PROGRESS"


class NotAwaitingApproval(WrongState):
    """The reservation is not waiting for the clinic's word."""

    reason = "NOT_AWAITING_APPROVAL"


class BookingNotFound(NotFound):
    """No such booking."""

    reason = "BOOKING_NOT_FOUND"


class WrongBookingStatus(WrongState):
    """The booking's status does not allow this."""

    reason = "WRONG_BOOKING_STATUS"


class CancellationInProgress(WrongState):
    """A cancellation of this booking is on its way."""

    reason = "CANCELLATION_IN_PROGRESS"


class BookingHasBegun(WrongState):
    """The booked time has come; only the clinic can change the booking now."""

    reason = "BOOKING_HAS_BEGUN"


class BookingHasNotBegun(WrongState):
    """It is too early for this: the booked time, or for a check-in its day, has not come yet."""

    reason = "BOOKING_HAS_NOT_BEGUN"


class ServiceNotFound(NotFound):
    """No such service."""

    reason = "SERVICE_NOT_FOUND"


class ServiceUnavailable(WrongState):
    """The service or its clinic takes no bookings at present."""

    reason = "SERVICE_UNAVAILABLE"


class VisitorNotFound(NotFound):
    """Who held or booked is not known any more."""

    reason = "VISITOR_NOT_FOUND"


class ApprovalRequired(WrongState):
    """The clinic approves bookings of this service; only the clinic can move one."""

    reason = "APPROVAL_REQUIRED"


class PetNotFound(NotFound):
    """No such pet."""

    reason = "PET_NOT_FOUND"


class OtherService(WrongState):
    """The slot belongs to another service than the booking."""

    reason = "OTHER_SERVICE"


class ClinicNotFound(NotFound):
    """No such clinic."""

    reason = "CLINIC_NOT_FOUND"


class StaffNotFound(NotFound):
    """No such member of staff at this clinic."""

    reason = "STAFF_NOT_FOUND"


def must_be(wanted: str, booking: Any) -> None:
    """Lets a booking change only from `wanted`, and not while a cancellation is on its way or to come by its clinic.

    Raises WrongBookingStatus or CancellationInProgress.
    """
    if booking.status != wanted:
        raise WrongBookingStatus(status=booking.status)
    if booking.cancellation_status == "requested" or booking.called_off_reason is not None:
        raise CancellationInProgress


def must_be_movable(booking: Any) -> None:
    """Lets a booking move that is confirmed; also one that was checked in, as long as it has not begun.

    Raises WrongBookingStatus or CancellationInProgress.
    """
    is_early = booking.status == "in-progress" and booking.now <= booking.starts_at
    must_be("in-progress" if is_early else "confirmed", booking)


def must_be_free_to_cancel(status: str, checkout_status: str) -> None:
    """Lets a customer give a hold back. Raises ReservationExpired, ReservationNotPending or CheckoutInProgress."""
    if status == "expired":
        raise ReservationExpired
    if status != "pending":
        raise ReservationNotPending(status=status)
    if checkout_status == "awaiting_payment":
        raise CheckoutInProgress


def must_not_have_begun(starts_at: datetime, now: datetime) -> None:
    """Lets a customer cancel or move up to the instant of the start, until which a quote may hold.

    Raises BookingHasBegun.
    """
    if now > starts_at:
        raise BookingHasBegun


def must_have_begun(starts_at: datetime, now: datetime) -> None:
    """Nobody can fail to come before the time, and no visit is over. Raises BookingHasNotBegun."""
    if now < starts_at:
        raise BookingHasNotBegun


def must_be_its_day(starts_at: datetime, zone: tzinfo, now: datetime) -> None:
    """Nobody comes before the day of the visit, by the clinic's calendar, but shortly before one after midnight.

    Raises BookingHasNotBegun.
    """
    if now < starts_at - _SHORTLY and now.astimezone(zone).date() < starts_at.astimezone(zone).date():
        raise BookingHasNotBegun


def new_reference_code() -> str:
    """What a person reads out at the desk: PP- and 8 letters and digits that nobody mixes up, one of 5 * 10^11."""
    return "PP-" + "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))


def may_read_history(booking_status: str) -> bool:
    """Whether the clinic may read what the customer told of the pet's health: while the visit is to come or goes on."""
    return booking_status in ("confirmed", "in-progress")
