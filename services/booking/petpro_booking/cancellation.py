"""Cancelling a booking. The steps stand in `saga.CANCELLATION` and `saga.CLINIC_CANCELLATION`.

    confirmed, none --request--> confirmed, requested --refund taken on--> cancelled
          ^                              |
          +-------- refused -------------+        a customer's only; a clinic's always goes through

What is in progress is cancelled too, and stands as before likewise: by a clinic, who was checked in by mistake, or sent
home; by its customer until it begins, since a clinic may check in from the morning on, and no check-in takes from
anybody what they are owed. While a customer's cancellation is on its way a clinic's word is kept, and carried
out if that one is undone (`called_off`).
`cancellation_status = 'requested'` is the semantic lock: while it stands no other cancellation, move or check-in
begins. What goes back is decided at the request, by the policy snapshot of the booking, and does not change after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from petpro.booking.v1 import booking_pb2
from petpro_booking import access, events, messages, refund_policy, starting, store, store_sagas
from petpro_booking.domain import BookingNotFound, CancellationInProgress, WrongBookingStatus, must_not_have_begun
from petpro_booking.saga import CANCELLATION, CLINIC_CANCELLATION
from petpro_common import telemetry
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction
from petpro_common.errors import PetProError
from petpro_common.ids import new_id
from petpro_common.messaging.events import Event
from petpro_common.messaging.participant import Answer, Refused, Succeeded
from petpro_common.money import Money
from petpro_common.saga import SagaEngine, SagaState
from petpro_common.saga.core import FAILURE_REASON, STOPPED_BY_OPERATOR, failure_reason
from petpro_common.saga.engine import Start
from petpro_common.saga.model import Status
from petpro_common.saga.moves import LocalHandler, on_behalf
from petpro_common.together import Together
from petpro_common.wire import BoundStatement

CUSTOMER = "customer"
CLINIC = "clinic"
CALLED_OFF = "called off"
"""What is told where a booking waits to be cancelled by its clinic."""

Reply = booking_pb2.CancelBookingResponse


@dataclass(frozen=True, kw_only=True)
class CancellationRequest(starting.SagaRequest):
    """A booking that its customer, or somebody for the clinic, wants cancelled.

    `as_customer`: under the policy, also where the customer acts for the clinic.
    """

    reason: str
    as_customer: bool = False


async def request(
    tx: Transaction, engine: SagaEngine, requests: Sequence[CancellationRequest]
) -> list[Reply | PetProError]:
    """Starts to cancel different bookings: a reply or a typed error for each.

    BookingNotFound, WrongBookingStatus, CancellationInProgress, or BookingHasBegun for a customer who is late. Where a
    customer's is on its way a clinic's word is kept, once.
    """
    return await starting.start(tx, engine, _WAYS, requests)


def _lock(requests: Sequence[CancellationRequest]) -> BoundStatement:
    return store_sagas.locking_bookings_for((request.about, access.person_of(request.caller)) for request in requests)


def _decide(request: CancellationRequest, booking: Row | None) -> Start | BoundStatement:
    if booking is None:
        raise BookingNotFound
    acts_for_clinic = not request.as_customer and access.acts_where(request.caller, is_of_clinic=booking.is_of_clinic)
    if acts_for_clinic and _is_the_customers_alone(booking):
        return store_sagas.keeping_word(booking.id, request.reason)
    by = _who_may_cancel(request.caller, booking, acts_for_clinic=acts_for_clinic)
    return _start(booking, by, request.reason, request.place)


def by_clinic(booking: Row) -> Start:
    """The cancellation of a locked booking by the clinic whose word was kept."""
    return _start(booking, CLINIC, booking.called_off_reason, telemetry.place())


def _start(booking: Row, by: str, reason: str, place: telemetry.Place) -> Start:
    refund = refund_due(booking, by)
    data = {
        **refund_data(booking, refund),
        "gives_money_back": refund.amount > 0,
        "must_succeed": by == CLINIC,
        "reason": reason,
        "by": by,
    }
    saga = CANCELLATION if by == CUSTOMER else CLINIC_CANCELLATION
    return Start(saga.type, f"cancellation:{booking.id}:{booking.cancellation_count + 1}", data, place)


def _is_the_customers_alone(booking: Row) -> bool:
    """Whether a customer's cancellation is on its way, and nobody has called the visit off besides."""
    is_the_customers = booking.cancellation_status == "requested" and booking.cancelled_by == CUSTOMER
    return is_the_customers and booking.called_off_reason is None


_WAYS = starting.Ways(
    lock=_lock,
    decide=_decide,
    look=store.getting_bookings,
    reply_type=Reply,
    reply=lambda booking: Reply(booking=messages.booking(booking)),
)


def refund_data(booking: Any, refund: Money) -> dict[str, Any]:
    """What a saga has to know of a booking to give `refund` back, under ids of its own."""
    return {
        "booking_id": str(booking.id),
        "user_id": str(booking.user_id),
        "clinic_id": str(booking.clinic_id),
        "payment_id": str(booking.payment_id),
        "refund_id": str(new_id()),
        "entry_id": str(new_id()),
        "refund_amount": str(refund.amount),
        "currency": refund.currency,
    }


def refund_due(booking: Any, by: str) -> Money:
    """What a cancellation now gives back: to a customer the policy's share, all of it when the clinic cancels."""
    price = paid(booking)
    if by == CLINIC:
        return price
    return refund_policy.refund_of(price, *refund_policy.terms_of(booking))


def paid(booking: Any) -> Money:
    """What we have of the price: nothing of what is paid at the clinic."""
    return Money(Decimal(0) if booking.payment_id is None else booking.amount, booking.currency)


async def quote(tx: Transaction, caller: Caller, booking_id: UUID) -> refund_policy.Quote:
    """What `request` at this instant would give back. Raises as `request` does."""
    booking = await store.look_at_booking(tx, booking_id)
    if booking is None:
        raise BookingNotFound
    acts_for_clinic = await access.acts_for_clinic(tx, caller, booking.clinic_id)
    by = _who_may_cancel(caller, booking, acts_for_clinic=acts_for_clinic)
    price, is_customer = paid(booking), by == CUSTOMER
    return refund_policy.Quote(
        price=price,
        refund=refund_due(booking, by),
        percent=refund_policy.refund_percent(*refund_policy.terms_of(booking)) if is_customer else refund_policy.FULL,
        valid_until=refund_policy.holds_until(*refund_policy.terms_of(booking)) if is_customer else None,
        policy_version=int(booking.cancellation_policy.get("version", 0)),
        is_of_service="service_id" in booking.cancellation_policy,
        no_show_refund=refund_policy.no_show_refund(
            price, booking.cancellation_policy, refund_policy.bounds_of(booking)
        ),
    )


def _who_may_cancel(caller: Caller, booking: Any, *, acts_for_clinic: bool) -> str:
    """As whom the caller cancels a booking. Raises what speaks against it."""
    if not acts_for_clinic and str(booking.user_id) != caller.id:
        raise BookingNotFound
    if booking.status not in ("confirmed", "in-progress"):
        raise WrongBookingStatus(status=booking.status)
    is_called_off = booking.called_off_reason is not None
    if booking.cancellation_status == "requested" or (is_called_off and not acts_for_clinic):
        raise CancellationInProgress
    if not acts_for_clinic:
        must_not_have_begun(booking.starts_at, booking.now)
    return CLINIC if acts_for_clinic else CUSTOMER


def local_handlers() -> Mapping[str, LocalHandler]:
    """The local steps of both cancellation sagas by name."""
    return {
        "lock_booking": Together(lock_bookings),
        "lift_lock": lift_lock,
        "cancel_booking": Together(cancel_bookings),
    }


async def lock_bookings(tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
    """Sets the semantic locks and freezes what goes back."""
    locks = [
        store_sagas.CancellationLock(
            id=_booking_id(state),
            saga_id=state.id,
            by=state.data["by"],
            refund_amount=Decimal(state.data["refund_amount"]),
            refund_status=_first_refund_status(state),
        )
        for state in states
    ]
    are_set = await store_sagas.request_cancellations(tx, locks)
    return [Succeeded() if is_set else Refused("WRONG_BOOKING_STATUS") for is_set in are_set]


async def lift_lock(tx: Transaction, state: SagaState) -> Answer:
    """The refund was refused: the booking stands as before, and the customer is told.

    Where its clinic has called the visit off it is the clinic's to cancel now, and that is what the customer is told.
    """
    if await store_sagas.refuse_cancellation(tx, _booking_id(state)):
        tx.tell(CALLED_OFF)
    else:
        events.booking_cancellation_refused(tx, state.data, failure_reason(state.data))
    return Succeeded()


async def cancel_bookings(tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
    """Cancels bookings, frees their seats and tells everybody. Of one that is cancelled already it changes nothing."""
    cancelled = await store_sagas.cancel_bookings(tx, [_cancelled_booking(state) for state in states])
    for state, booking in zip(states, cancelled, strict=True):
        if booking:
            with on_behalf(state):
                events.booking_cancelled(tx, booking, paid(booking), state.data)
    return [Succeeded()] * len(states)


async def resolved(tx: Transaction, state: SagaState, ended: Status) -> None:
    """A parked cancellation was ended by an operator's word: its booking follows, or nobody could touch it again.

    Completed it is cancelled, unless it is already; compensated it stands as before, and its customer is told.
    """
    if ended is Status.COMPLETED:
        [booking] = await store_sagas.cancel_bookings(tx, [_cancelled_booking(state)])
        if booking:
            events.booking_cancelled(tx, booking, paid(booking), state.data)
    else:
        await lift_lock(tx, state._replace(data={FAILURE_REASON: STOPPED_BY_OPERATOR, **state.data}))


async def refund_changed(tx: Transaction, event: Event) -> None:
    """Keeps the refund status of a cancelled booking, or a no-show: refund.succeeded and refund.manual of payment."""
    status = {"refund.succeeded": "succeeded", "refund.manual": "manual"}[event["event_type"]]
    before = event.get("status_before") or ("succeeded" if status == "manual" else "pending")  # as told by an older one
    store_sagas.set_refund_status(tx, store_sagas.RefundStatusChange(UUID(event["booking_id"]), status, before))


def _cancelled_booking(state: SagaState) -> store_sagas.CancelledBooking:
    return store_sagas.CancelledBooking(_booking_id(state), state.data["reason"], state.data.get("refund_status"))


def _first_refund_status(state: SagaState) -> str:
    return "pending" if state.data["gives_money_back"] else "none"


def _booking_id(state: SagaState) -> UUID:
    return UUID(state.data["booking_id"])
