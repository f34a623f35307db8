"""Checkout: from a held seat over the payment to a booking. The steps stand in `saga.CHECKOUT`.

    CheckoutReservation -> begin -> (clinic approves) -> pay -> confirm -> booking fee
                             ^                            |         |
                             |                        declined   hold ran out and the seat is gone
                             +-- end_checkout <-----------+-- refund in full

Whoever pays at the clinic has a booking without a payment of ours, and gets nothing back from us; `unpaid` says how
many of these one person may have.
Declined, the hold stays until it runs out and the customer may try again: each try is a saga, a booking id and a
payment of its own; a clinic says yes once. Locks are taken in one order everywhere: saga, reservation, person, slot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from secrets import compare_digest
from uuid import UUID

from petpro.booking.v1 import booking_pb2
from petpro_booking import (
    approvals,
    bookings,
    events,
    messages,
    starting,
    store,
    store_projections,
    store_sagas,
    unpaid,
)
from petpro_booking.bookings import Paid
from petpro_booking.domain import (
    CheckoutInProgress,
    ReservationExpired,
    ReservationNotFound,
    ReservationNotPending,
    ServiceUnavailable,
    SlotBlocked,
    SlotFull,
    SlotInPast,
    SlotNotFound,
    WrongLockId,
)
from petpro_booking.refund_policy import percent_of_hold
from petpro_booking.saga import CHECKOUT
from petpro_common.db import Row, Transaction
from petpro_common.errors import PetProError
from petpro_common.ids import new_id
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.saga import SagaEngine, SagaState
from petpro_common.saga.core import TIMED_OUT, failure_reason
from petpro_common.saga.engine import Start
from petpro_common.saga.moves import LocalHandler, on_behalf
from petpro_common.sealing import Sealer
from petpro_common.together import Together

APPROVAL_TIMED_OUT = "APPROVAL_TIMED_OUT"
Reply = booking_pb2.CheckoutReservationResponse
_ON_ITS_WAY = ("awaiting_approval", "awaiting_payment")


@dataclass(frozen=True)
class Tender:
    """How the customer pays: the provider's one-time token, never card data. `notes` are for the clinic."""

    payment_method: str
    payment_token: str
    notes: str


@dataclass(frozen=True, kw_only=True)
class CheckoutRequest(starting.SagaRequest):
    """A held seat, named by its secret too, that its customer wants to pay."""

    lock_id: str
    tender: Tender


async def start(
    tx: Transaction, engine: SagaEngine, requests: Sequence[CheckoutRequest], for_payment: Sealer, most_unpaid: int
) -> list[Reply | PetProError]:
    """Starts to pay for different held seats: a reply or a typed error for each. Only payment can read the tokens.

    ReservationNotFound, WrongLockId, ReservationNotPending, ReservationExpired, CheckoutInProgress,
    TooManyUnpaidBookings or ServiceUnavailable, which comes from copies as in `holds`.
    """

    async def too_many(tx: Transaction, could: Sequence[tuple[CheckoutRequest, Row]]) -> starting.Refusals:
        at_clinic = [row for request, row in could if request.tender.payment_method == unpaid.AT_CLINIC]
        return await unpaid.refusals(tx, at_clinic, most_unpaid)

    ways: starting.Ways[CheckoutRequest, Reply] = starting.Ways(
        lock=lambda requests: store_sagas.locking_reservations_to_pay(request.about for request in requests),
        decide=lambda request, reservation: _decide(request, reservation, for_payment),
        look=store.getting_reservations,
        reply_type=Reply,
        reply=lambda row: Reply(reservation=messages.reservation(row, with_lock_id=True)),
        refuse=too_many,
    )
    return await starting.start(tx, engine, ways, requests)


def _decide(request: CheckoutRequest, reservation: Row | None, for_payment: Sealer) -> Start:
    if reservation is None or reservation.user_id != request.caller.user_id:
        raise ReservationNotFound
    if not compare_digest(reservation.lock_id.encode(), request.lock_id.encode()):
        raise WrongLockId
    if reservation.checkout_status in _ON_ITS_WAY:
        raise CheckoutInProgress
    if reservation.status == "expired" or (reservation.status == "pending" and reservation.has_run_out):
        raise ReservationExpired
    if reservation.status != "pending":
        raise ReservationNotPending(status=reservation.status)
    if not reservation.is_offered:
        raise ServiceUnavailable
    payment_id = str(new_id())
    data = {
        "reservation_id": str(reservation.id),
        "booking_id": str(new_id()),
        "payment_id": payment_id,
        "entry_id": str(new_id()),
        "user_id": str(reservation.user_id),
        "clinic_id": str(reservation.clinic_id),
        "amount": str(reservation.price),
        "currency": reservation.currency,
        "commission_rate": str(reservation.commission_rate),
        "requires_approval": reservation.requires_approval and reservation.approved_at is None,
        "pay_until": reservation.expires_at.isoformat(),
        "payment_method": request.tender.payment_method,
        "payment_token": for_payment.seal(request.tender.payment_token, payment_id),
        "notes": request.tender.notes,
    }
    if reservation.requires_approval:
        data["owed_percent"] = percent_of_hold(reservation)
    return Start(CHECKOUT.type, f"checkout:{reservation.id}:{reservation.checkout_count + 1}", data, request.place)


def local_handlers(time_to_approve: timedelta, most_unpaid: int) -> Mapping[str, LocalHandler]:
    """The local steps of the checkout saga by name. A clinic has `time_to_approve`, at most until the slot begins.

    A person has `most_unpaid` bookings to come that nobody has paid for.
    """

    async def begin_checkouts(tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
        store_sagas.begin_checkouts(tx, map(_attempt, states))
        for state in states:
            if state.data["requires_approval"]:
                store_sagas.extend_hold(tx, _id(state, "reservation_id"), time_to_approve)
                await _ask_clinic(tx, _id(state, "reservation_id"))
        return [Succeeded()] * len(states)

    return {
        "begin_checkout": Together(begin_checkouts),
        "await_approval": await_approval,
        "confirm_booking": Together(partial(confirm_bookings, most_unpaid=most_unpaid)),
        "end_checkout": end_checkout,
    }


def _attempt(state: SagaState) -> store_sagas.CheckoutAttempt:
    return store_sagas.CheckoutAttempt(
        id=_id(state, "reservation_id"),
        saga_id=state.id,
        booking_id=_id(state, "booking_id"),
        payment_id=None if state.data["payment_method"] == unpaid.AT_CLINIC else _id(state, "payment_id"),
        notes=state.data["notes"],
        checkout_status="awaiting_approval" if state.data["requires_approval"] else "awaiting_payment",
    )


async def _ask_clinic(tx: Transaction, reservation_id: UUID) -> None:
    """Has the clinic's owner told that a reservation waits for their word."""
    reservation = await store.get_reservation(tx, reservation_id)
    if reservation is None:
        return
    slot = await store.get_slot(tx, reservation.slot_id)
    owner_id = await store_projections.owner_of(tx, reservation.clinic_id)
    if slot and owner_id:
        events.reservation_approval_requested(tx, reservation, slot.slot_start_time, owner_id)


async def await_approval(tx: Transaction, state: SagaState) -> Answer:
    """Waits for `approve` or `decline`, and gives up when the hold has run out.

    The saga waits no longer than a hold may last, so it may give up first; `end_checkout` gives the same reason then.
    """
    reservation = await store.lock_reservation(tx, _id(state, "reservation_id"))
    if reservation is None or reservation.status != "pending" or reservation.has_run_out:
        return Refused(APPROVAL_TIMED_OUT)
    return Pending()


async def confirm_bookings(tx: Transaction, states: Sequence[SagaState], most_unpaid: int) -> Sequence[Answer]:
    """Turns paid reservations into bookings; takes the seat again when the hold has run out meanwhile, and where the
    clinic is paid the place among what its person has unpaid.

    The row lock on the reservation decides between this and the expiry sweep: whoever comes first wins. Seats are taken
    in the order of their slots, as everybody takes them.
    """
    answers: dict[UUID, Answer] = {}
    all_paid: list[Paid] = []
    held = await store.lock_reservations(tx, (_id(state, "reservation_id") for state in states))
    at_clinic = {_id(state, "reservation_id") for state in states if state.data.get("at_clinic")}
    late = [row for row in held.values() if row.id in at_clinic and row.status == "expired"]
    too_many = await unpaid.refusals(tx, late, most_unpaid)
    slot_ids = {reservation.id: reservation.slot_id.int for reservation in held.values()}
    for state in sorted(states, key=lambda state: slot_ids.get(_id(state, "reservation_id"), 0)):
        reservation = held.get(_id(state, "reservation_id"))
        refused = await _refused_a_seat(tx, reservation, too_many)
        answers[state.id] = refused or Succeeded()
        if reservation and not refused:
            payment_id = None if state.data.get("at_clinic") else _id(state, "payment_id")
            with on_behalf(state):
                floor = state.data.get("refund_floor", 0)
                all_paid.append(Paid(reservation, _id(state, "booking_id"), payment_id, floor))
    if all_paid:
        await bookings.confirm(tx, all_paid)
    return [answers[state.id] for state in states]


async def _refused_a_seat(tx: Transaction, reservation: Row | None, too_many: starting.Refusals) -> Refused | None:
    """Takes the seat again when the hold has run out; what speaks against the booking, if anything does."""
    if reservation is None or reservation.status not in ("pending", "expired"):
        return Refused("RESERVATION_NOT_PENDING")
    if reservation.id in too_many:
        return Refused(too_many[reservation.id].reason)
    if reservation.status == "expired":
        try:
            await store.take_seat(tx, reservation.slot_id)
        except (SlotFull, SlotBlocked, SlotInPast, SlotNotFound) as gone:
            return Refused(gone.reason)
    return None


async def end_checkout(tx: Transaction, state: SagaState) -> Answer:
    """The try has failed: says why, and lets the customer try again while the hold lasts.

    When it was the clinic that said no, the reservation ends here and its seat is free. When its customer had given it
    back before anything was paid, there is nothing to tell.
    """
    reason = failure_reason(state.data)
    was_paid = "paid_at" in state.data
    reservation = await store.lock_reservation(tx, _id(state, "reservation_id"))
    if reservation is None or (reservation.status == "cancelled" and not was_paid):
        return Succeeded()
    if reason == TIMED_OUT and reservation.checkout_status == "awaiting_approval":
        reason = APPROVAL_TIMED_OUT
    store_sagas.fail_checkout(tx, reservation.id, reason)
    if reason == approvals.DECLINED_BY_CLINIC and reservation.status == "pending":
        store_sagas.cancel_reservation(tx, reservation.id)
        store.free_seat(tx, reservation.slot_id)
        events.reservation_cancelled(tx, reservation)
    events.checkout_failed(tx, state.data, reason)
    return Succeeded()


def _id(state: SagaState, field: str) -> UUID:
    return UUID(state.data[field])
