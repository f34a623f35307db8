"""ReservationService: holding a seat, and paying for it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking import approvals, checkout, holds, messages, reservations, store
from petpro_booking.checkout import CheckoutRequest, Tender
from petpro_booking.copies import Copies
from petpro_booking.domain import PetNotFound, ServiceNotFound, ServiceUnavailable
from petpro_booking.holds import HoldRequest, Terms
from petpro_common.coalescing import Coalescer
from petpro_common.context import CallContext, Caller, ends_what_was_begun, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.errors import PetProError
from petpro_common.idempotency import claim_of, once, together
from petpro_common.ids import optional_id
from petpro_common.pages import cut, page_size, read_id
from petpro_common.saga import SagaEngine
from petpro_common.sealing import Sealer

_BATCH = 64
_HOLDING = CallContext("/petpro.booking.v1.ReservationService/CreateReservation", "of several calls", begins_work=True)
_STATUSES = {number: status for status, number in messages.RESERVATION_STATUS.items()}
_CHECKING_OUT = replace(_HOLDING, method="/petpro.booking.v1.ReservationService/CheckoutReservation")


class ReservationServicer(booking_pb2_grpc.ReservationServiceServicer):
    """See the contract. Seats are held on these terms; as long as a hold lasts a customer has to pay once the clinic
    has approved.

    What customers pay with is sealed `for_payment` before it is written anywhere.
    """

    def __init__(
        self, database: Database, copies: Copies, engine: SagaEngine, terms: Terms, for_payment: Sealer
    ) -> None:
        self._for_payment = for_payment
        self._database = database
        self._copies = copies
        self._engine = engine
        self._terms = terms
        self._holds: Coalescer[HoldRequest, booking_pb2.CreateReservationResponse] = Coalescer(
            self._hold,
            lambda request: request.user_id,
            _BATCH,
            about_of=lambda request: request.slot_id,
            may_repeat=lambda request: request.claim is not None,
        )
        self._checkouts: Coalescer[CheckoutRequest, booking_pb2.CheckoutReservationResponse] = Coalescer(
            self._check_out, lambda request: request.about, _BATCH, may_repeat=lambda request: request.claim is not None
        )

    async def CreateReservation(
        self, request: booking_pb2.CreateReservationRequest, context: Any
    ) -> booking_pb2.CreateReservationResponse:
        hold = HoldRequest(signed_in().user_id, UUID(request.slot_id), UUID(request.pet_id), claim_of(request))
        try:
            return await self._holds.do(hold)
        except PetNotFound:
            await self._copies.refresh_pet(hold.pet_id)
        except (ServiceNotFound, ServiceUnavailable):
            await self._copies.refresh_offer(hold.slot_id, hold.pet_id)
        return await self._holds.do(hold)

    async def _hold(
        self, requests: Sequence[HoldRequest]
    ) -> Sequence[booking_pb2.CreateReservationResponse | PetProError]:
        async def work(tx: Transaction) -> list[booking_pb2.CreateReservationResponse | PetProError]:
            return await holds.hold(tx, requests, self._terms)

        return await together(self._database, _HOLDING, work, len(requests))

    async def ListReservations(
        self, request: booking_pb2.ListReservationsRequest, context: Any
    ) -> booking_pb2.ListReservationsResponse:
        caller, size = signed_in(), page_size(request.page_size)
        clinic_id = optional_id("clinic_id", request.clinic_id)
        filters = (caller.id, request.clinic_id, request.status)
        before = read_id(request.page_token, *filters)
        async with self._database.reading() as tx:
            rows = await reservations.page(tx, caller, clinic_id, _STATUSES.get(request.status), before, size + 1)
        shown, next_token = cut(rows, size, lambda row: (row.id,), *filters)
        return booking_pb2.ListReservationsResponse(
            reservations=[messages.reservation(row, with_lock_id=str(row.user_id) == caller.id) for row in shown],
            next_page_token=next_token,
        )

    async def GetReservation(
        self, request: booking_pb2.GetReservationRequest, context: Any
    ) -> booking_pb2.GetReservationResponse:
        caller = signed_in()
        async with self._database.reading() as tx:
            reservation = await self._seen_by(tx, caller, request.reservation_id)
        return booking_pb2.GetReservationResponse(reservation=reservation)

    async def CheckoutReservation(
        self, request: booking_pb2.CheckoutReservationRequest, context: Any
    ) -> booking_pb2.CheckoutReservationResponse:
        attempt = CheckoutRequest(
            caller=signed_in(),
            about=UUID(request.reservation_id),
            claim=claim_of(request),
            lock_id=request.lock_id,
            tender=Tender(request.payment_method, request.payment_token, request.notes),
        )
        try:
            return await self._checkouts.do(attempt)
        except ServiceUnavailable:
            await self._copies.refresh_service_of(store.get_reservation, attempt.about)
        return await self._checkouts.do(attempt)

    async def _check_out(
        self, requests: Sequence[CheckoutRequest]
    ) -> Sequence[booking_pb2.CheckoutReservationResponse | PetProError]:
        async def work(tx: Transaction) -> list[booking_pb2.CheckoutReservationResponse | PetProError]:
            return await checkout.start(tx, self._engine, requests, self._for_payment, self._terms.most_unpaid)

        return await together(self._database, _CHECKING_OUT, work, len(requests))

    @ends_what_was_begun
    async def CancelReservation(
        self, request: booking_pb2.CancelReservationRequest, context: Any
    ) -> booking_pb2.CancelReservationResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.CancelReservationResponse:
            row = await reservations.cancel(tx, caller, UUID(request.reservation_id))
            return booking_pb2.CancelReservationResponse(reservation=messages.reservation(row, with_lock_id=True))

        return await once(self._database, request, booking_pb2.CancelReservationResponse, work)

    @ends_what_was_begun
    async def ApproveReservation(
        self, request: booking_pb2.ApproveReservationRequest, context: Any
    ) -> booking_pb2.ApproveReservationResponse:
        caller = signed_in()
        time_to_pay = timedelta(seconds=self._terms.seconds)

        async def work(tx: Transaction) -> booking_pb2.ApproveReservationResponse:
            await approvals.approve(tx, self._engine, caller, UUID(request.reservation_id), time_to_pay)
            reservation = await self._seen_by(tx, caller, request.reservation_id)
            return booking_pb2.ApproveReservationResponse(reservation=reservation)

        try:
            return await once(self._database, request, booking_pb2.ApproveReservationResponse, work)
        except ServiceUnavailable:
            await self._copies.refresh_service_of(store.get_reservation, UUID(request.reservation_id))
        return await once(self._database, request, booking_pb2.ApproveReservationResponse, work)

    @ends_what_was_begun
    async def DeclineReservation(
        self, request: booking_pb2.DeclineReservationRequest, context: Any
    ) -> booking_pb2.DeclineReservationResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.DeclineReservationResponse:
            await approvals.decline(tx, self._engine, caller, UUID(request.reservation_id))
            reservation = await self._seen_by(tx, caller, request.reservation_id)
            return booking_pb2.DeclineReservationResponse(reservation=reservation)

        return await once(self._database, request, booking_pb2.DeclineReservationResponse, work)

    async def _seen_by(self, tx: Transaction, caller: Caller, reservation_id: str) -> booking_pb2.Reservation:
        row = await reservations.get(tx, caller, UUID(reservation_id))
        return messages.reservation(row, with_lock_id=str(row.user_id) == caller.id)
