"""Reservations: a seat held for a pet, for some minutes. They begin in `holds`; paying for them is `checkout`'s, their
end `expiry`'s.
"""

from collections.abc import Sequence
from uuid import UUID

from petpro_booking import access, events, store, store_pages
from petpro_booking.domain import (
    ClinicNotFound,
    ReservationNotFound,
    must_be_free_to_cancel,
)
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction


async def get(tx: Transaction, caller: Caller, reservation_id: UUID) -> Row:
    """A reservation, for its customer, the clinic, administrators and services. Raises ReservationNotFound."""
    reservation = await store.get_reservation(tx, reservation_id)
    if reservation is None:
        raise ReservationNotFound
    if str(reservation.user_id) != caller.id and not await access.sees_clinic(tx, caller, reservation.clinic_id):
        raise ReservationNotFound
    return reservation


async def page(
    tx: Transaction, caller: Caller, clinic_id: UUID | None, status: str | None, before: UUID | None, limit: int
) -> Sequence[Row]:
    """The caller's own reservations, or what waits for a clinic's approval, newest first.

    Raises ClinicNotFound to who may not see that.
    """
    if clinic_id is None:
        return await store_pages.reservations_of_user(tx, caller.user_id, status, before, limit)
    if not await access.sees_clinic(tx, caller, clinic_id):
        raise ClinicNotFound
    return await store_pages.awaiting_clinic(tx, clinic_id, before, limit)


async def for_clinic(tx: Transaction, caller: Caller, reservation_id: UUID) -> Row:
    """A reservation, for those who act for the clinic. Raises ReservationNotFound."""
    reservation = await store.get_reservation(tx, reservation_id)
    if reservation is None or not await access.acts_for_clinic(tx, caller, reservation.clinic_id):
        raise ReservationNotFound
    return reservation


async def cancel(tx: Transaction, caller: Caller, reservation_id: UUID) -> Row:
    """Gives a held seat back, for its customer.

    Raises ReservationNotFound, ReservationExpired, ReservationNotPending, or CheckoutInProgress while a payment is on
    its way.
    """
    reservation = await store.lock_reservation(tx, reservation_id)
    if reservation is None or str(reservation.user_id) != caller.id:
        raise ReservationNotFound
    must_be_free_to_cancel(reservation.status, reservation.checkout_status)
    cancelled = await store.give_back(tx, reservation_id)
    store.free_seat(tx, reservation.slot_id)
    events.reservation_cancelled(tx, cancelled)
    return cancelled
