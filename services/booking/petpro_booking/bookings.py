"""Bookings: from the confirmed reservation to the end of the visit. Cancelling them is `cancellation`'s.

What becomes of one to which nobody came is `no_show`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from petpro_booking import (
    access,
    cancellation,
    events,
    refund_policy,
    store,
    store_confirm,
    store_pages,
    store_projections,
)
from petpro_booking.domain import (
    ApprovalRequired,
    BookingNotFound,
    ClinicNotFound,
    OtherService,
    ServiceUnavailable,
    SlotNotFound,
    must_be,
    must_be_its_day,
    must_be_movable,
    must_have_begun,
    must_not_have_begun,
    new_reference_code,
)
from petpro_common import telemetry, zones
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction
from petpro_common.errors import invalid

_MOST_DRAWS = 8


@dataclass(frozen=True)
class Paid:
    """A reservation that becomes a booking of that id, in the trace of the work in hand; the caller holds its row lock
    and its seat."""

    reservation: Row
    booking_id: UUID
    payment_id: UUID | None
    refund_floor: int = 0
    """Percent of the price of which no less goes back."""
    place: telemetry.Place = field(default_factory=telemetry.place)


async def confirm(tx: Transaction, all_paid: Sequence[Paid]) -> None:
    """Turns reservations into bookings, born confirmed, with reference codes of their own; tells everybody.

    Price, commission and policy are those of the hold. Raises LookupError where a slot is gone.
    """
    made = await _made(tx, all_paid)
    store_confirm.confirm_reservations(
        tx, [(paid.reservation.id, paid.booking_id, paid.payment_id) for paid in all_paid]
    )
    for paid in all_paid:
        with telemetry.back_in(paid.place):
            booking = made[paid.booking_id]
            events.booking_confirmed(tx, booking, cancellation.paid(booking))


async def _made(tx: Transaction, all_paid: Sequence[Paid]) -> Mapping[UUID, Row]:
    """The bookings by id. A code that is taken is drawn again; that many times it is not the code."""
    made: dict[UUID, Row] = {}
    left = list(all_paid)
    for _ in range(_MOST_DRAWS):
        made |= await store_confirm.insert_bookings(tx, map(_draft, left))
        left = [paid for paid in left if paid.booking_id not in made]
        if not left:
            return made
    raise LookupError(f"a slot is gone of the reservations {[str(paid.reservation.id) for paid in left]}")


def _draft(paid: Paid) -> store_confirm.Draft:
    held = paid.reservation
    code = new_reference_code()
    return store_confirm.Draft(held.id, held.slot_id, paid.booking_id, paid.payment_id, paid.refund_floor, code)


async def get(tx: Transaction, caller: Caller, booking_id: UUID) -> Row:
    """A booking, for its customer, the clinic, administrators and services. Raises BookingNotFound."""
    booking = await store.get_booking(tx, booking_id)
    if booking is None:
        raise BookingNotFound
    if str(booking.user_id) != caller.id and not await access.sees_clinic(tx, caller, booking.clinic_id):
        raise BookingNotFound
    return booking


async def for_clinic(tx: Transaction, caller: Caller, booking_id: UUID) -> Row:
    """A booking, for those who act for the clinic. Raises BookingNotFound."""
    booking = await store.get_booking(tx, booking_id)
    if booking is None or not await access.acts_for_clinic(tx, caller, booking.clinic_id):
        raise BookingNotFound
    return booking


async def page(
    tx: Transaction, caller: Caller, clinic_id: UUID | None, status: str | None, before: UUID | None, limit: int
) -> Sequence[Row]:
    """The caller's own bookings, or those of a clinic, newest first. Raises ClinicNotFound to who may not see them."""
    if clinic_id is None:
        return await store_pages.bookings_of_user(tx, caller.user_id, status, before, limit)
    if not await access.sees_clinic(tx, caller, clinic_id):
        raise ClinicNotFound
    return await store_pages.bookings_of_clinic(tx, clinic_id, status, before, limit)


async def reschedule(tx: Transaction, caller: Caller, booking_id: UUID, slot_id: UUID) -> Row:
    """Moves a booking to another slot of its service, where it is confirmed; price and policy stay.

    When a customer moves it, cancelling later gives back no more than it would have at the move; when somebody moves it
    for the clinic, no less.

    A customer may move it until it begins, checked in or not, and where it could be booked without asking; the clinic
    also later, and whatever it takes at present. Both slots are locked in the order of their ids, so two that swap wait
    for each other in turn. Raises what `take_seat` raises, BookingNotFound, WrongBookingStatus, CancellationInProgress,
    BookingHasBegun, OtherService, ServiceUnavailable or ApprovalRequired.
    """
    booking = await _lock(tx, booking_id)
    acts_for_clinic = await access.acts_for_clinic(tx, caller, booking.clinic_id)
    if str(booking.user_id) != caller.id and not acts_for_clinic:
        raise BookingNotFound
    must_be_movable(booking)
    if not acts_for_clinic:
        must_not_have_begun(booking.starts_at, booking.now)
    if slot_id == booking.slot_id:
        raise invalid("slot_id", "is the slot that the booking has already")
    if not acts_for_clinic:
        await _must_be_open_to_customers(tx, booking.service_id)
    slots = await store.lock_slots(tx, [booking.slot_id, slot_id])
    if slot_id not in slots:
        raise SlotNotFound
    if slots[slot_id].service_id != booking.service_id:
        raise OtherService
    slot = await store.take_seat(tx, slot_id)
    store.free_seat(tx, booking.slot_id)
    moved = await store.move_booking(
        tx, booking_id, slot, refund_policy.bounds_after_move(booking, by_clinic=acts_for_clinic)
    )
    events.booking_rescheduled(tx, moved, slot.slot_start_time)
    return moved


async def _must_be_open_to_customers(tx: Transaction, service_id: UUID) -> None:
    offer = await store_projections.offer(tx, service_id)
    if offer is None or not offer.is_offered:
        raise ServiceUnavailable
    if offer.requires_approval:
        raise ApprovalRequired


async def check_in(tx: Transaction, caller: Caller, booking_id: UUID) -> Row:
    """The pet is here, on the day of the visit: confirmed becomes in-progress.

    Raises as `lock_for_clinic`, `must_be` and `must_be_its_day` do.
    """
    booking = await lock_for_clinic(tx, caller, booking_id)
    must_be("confirmed", booking)
    must_be_its_day(booking.starts_at, zones.zone(booking.timezone), booking.now)
    changed = await store.set_booking_status(tx, booking_id, "in-progress")
    events.booking_checked_in(tx, changed)
    return changed


async def complete(tx: Transaction, caller: Caller, booking_id: UUID) -> Row:
    """The visit is over: in-progress becomes completed.

    Raises as `lock_for_clinic`, `must_be` and `must_have_begun` do.
    """
    booking = await lock_for_clinic(tx, caller, booking_id)
    must_be("in-progress", booking)
    must_have_begun(booking.starts_at, booking.now)
    changed = await store.set_booking_status(tx, booking_id, "completed")
    events.booking_completed(tx, changed)
    return changed


async def _lock(tx: Transaction, booking_id: UUID) -> Row:
    booking = await store.lock_booking(tx, booking_id)
    if booking is None:
        raise BookingNotFound
    return booking


async def lock_for_clinic(tx: Transaction, caller: Caller, booking_id: UUID) -> Row:
    """A booking with its row lock. Raises BookingNotFound to whoever does not act for the clinic, its customer too."""
    booking = await _lock(tx, booking_id)
    if not await access.acts_for_clinic(tx, caller, booking.clinic_id):
        raise BookingNotFound
    return booking
