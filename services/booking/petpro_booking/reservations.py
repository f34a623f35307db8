"""Reservations: a seat held for a pet, for some minutes. They begin in `holds`; paying for them is `checkout`'s, their
end `expiry`'s.
"""

from uuid import UUID

from petpro_booking import access, messages, store
from petpro_booking.domain import (
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
    await messages.reservation_cancelled(tx, cancelled)
    return cancelled
