"""A clinic's word on a reservation that waits for it: yes, once, or no. What it then does, `checkout` says."""

from datetime import timedelta
from uuid import UUID

from petpro_booking import reservations, store, store_projections, store_sagas
from petpro_booking.domain import NotAwaitingApproval, ServiceUnavailable
from petpro_booking.refund_policy import percent_of_hold
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction
from petpro_common.messaging.participant import Refused, Succeeded
from petpro_common.saga import SagaEngine
from petpro_common.saga import store as saga_store

DECLINED_BY_CLINIC = "DECLINED_BY_CLINIC"


async def approve(
    tx: Transaction, engine: SagaEngine, caller: Caller, reservation_id: UUID, time_to_pay: timedelta
) -> None:
    """The clinic says yes, once for the reservation; from now the customer's means of payment is charged.

    Where less would go back by now than when they asked, that much is the least that does: it was the clinic that took
    its time. Raises as `decline` does, and ServiceUnavailable where the service or the clinic takes no bookings any
    more.
    """
    saga, held = await _awaiting_approval(tx, caller, reservation_id)
    offer = await store_projections.offer(tx, held.service_id)
    if offer is None or not offer.is_offered:
        raise ServiceUnavailable
    pay_until = await store_sagas.note_approval(tx, reservation_id, time_to_pay)
    owed = saga.data.get("owed_percent", 0)
    floor = owed if owed > percent_of_hold(held) else 0
    yes = Succeeded(learned={"pay_until": pay_until.isoformat(), "refund_floor": floor})
    if not await engine.answer(tx, saga.id, "approve", yes):
        raise NotAwaitingApproval
    store_sagas.set_checkout_status(tx, reservation_id, "awaiting_payment")


async def decline(tx: Transaction, engine: SagaEngine, caller: Caller, reservation_id: UUID) -> None:
    """The clinic says no; the seat is free again.

    Raises ReservationNotFound to whoever does not act for the clinic, NotAwaitingApproval when it is not asked.
    """
    saga, _ = await _awaiting_approval(tx, caller, reservation_id)
    if not await engine.answer(tx, saga.id, "approve", Refused(DECLINED_BY_CLINIC)):
        raise NotAwaitingApproval


async def _awaiting_approval(tx: Transaction, caller: Caller, reservation_id: UUID) -> tuple[Row, Row]:
    """The saga and the reservation, both locked."""
    reservation = await reservations.for_clinic(tx, caller, reservation_id)
    if reservation.checkout_status != "awaiting_approval":
        raise NotAwaitingApproval
    sagas = await saga_store.lock(tx, [reservation.checkout_saga_id])
    held = await store.lock_reservation(tx, reservation_id)  # its customer or its time may have ended it meanwhile
    if held is None or held.status != "pending" or held.has_run_out:
        raise NotAwaitingApproval
    return sagas[reservation.checkout_saga_id], held
