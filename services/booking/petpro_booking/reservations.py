"""Reservations: a seat held for a pet, for some minutes. Paying for them is `checkout`'s, their end `expiry`'s.

A pet may hold a slot more than once: exactly as many holds succeed as there are seats, and a retry is told from a
second wish by its request id.
"""

import secrets
from uuid import UUID

import orjson

from petpro_booking import access, messages, store, store_projections
from petpro_booking.domain import (
    PetNotFound,
    ReservationNotFound,
    ServiceNotFound,
    ServiceUnavailable,
    SlotNotFound,
    must_be_free_to_cancel,
)
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction
from petpro_common.ids import new_id

_LOCK_ID_BYTES = 24


async def hold(tx: Transaction, user_id: UUID, slot_id: UUID, pet_id: UUID, hold_seconds: float) -> Row:
    """Holds one seat of a slot, with price, commission and policy as they are now.

    Raises what `take_seat` raises; and ServiceNotFound, ServiceUnavailable or PetNotFound by the copies of what other
    services own: before the caller believes one of these it asks the owner.
    """
    offer = await store_projections.offer(tx, slot_id, pet_id)
    if offer is None:
        raise SlotNotFound
    _check(offer, user_id)
    slot = await store.take_seat(tx, slot_id)
    held = {
        "id": new_id(),
        "user_id": user_id,
        "pet_id": pet_id,
        "service_id": offer.service_id,
        "slot_id": slot.id,
        "slot_date": slot.slot_date,
        "clinic_id": offer.clinic_id,
        "starts_at": slot.starts_at,
        "lock_id": secrets.token_urlsafe(_LOCK_ID_BYTES),
        "price": offer.price,
        "currency": offer.currency,
        "commission_rate": offer.commission_rate,
        "cancellation_policy": orjson.dumps(offer.cancellation_policy).decode(),
        "requires_approval": offer.requires_approval,
        "hold_seconds": hold_seconds,
    }
    reservation = await store.insert_hold(tx, held)
    await messages.reservation_created(tx, reservation)
    return reservation


def _check(offer: Row, user_id: UUID) -> None:
    if offer.price is None or offer.clinic_status is None:
        raise ServiceNotFound
    if not offer.is_available or offer.clinic_status != "approved":
        raise ServiceUnavailable
    if offer.pet_owner != user_id or offer.pet_is_gone:
        raise PetNotFound


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
    await store.free_seat(tx, reservation.slot_id)
    await messages.reservation_cancelled(tx, cancelled)
    return cancelled
