"""BookingService: what was booked."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking import bookings, cancellation, messages, no_show, store, summary
from petpro_booking.cancellation import CancellationRequest
from petpro_booking.copies import Copies
from petpro_booking.domain import ApprovalRequired, ClinicNotFound, ServiceUnavailable
from petpro_common.coalescing import Coalescer
from petpro_common.context import CallContext, ends_what_was_begun, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.errors import PetProError
from petpro_common.idempotency import claim_of, once, together
from petpro_common.ids import optional_id
from petpro_common.pages import cut, page_size, read_id
from petpro_common.saga import SagaEngine

_BATCH = 64
_CANCELLING = CallContext("/petpro.booking.v1.BookingService/CancelBooking", "of several calls")
_STATUSES = {number: status for status, number in messages.BOOKING_STATUS.items()}


class BookingServicer(booking_pb2_grpc.BookingServiceServicer):
    """See the contract."""

    def __init__(self, database: Database, copies: Copies, engine: SagaEngine) -> None:
        self._database = database
        self._copies = copies
        self._engine = engine
        self._cancellations: Coalescer[CancellationRequest, booking_pb2.CancelBookingResponse] = Coalescer(
            self._cancel, lambda request: request.about, _BATCH, may_repeat=lambda request: request.claim is not None
        )

    async def ListBookings(
        self, request: booking_pb2.ListBookingsRequest, context: Any
    ) -> booking_pb2.ListBookingsResponse:
        caller, size = signed_in(), page_size(request.page_size)
        clinic_id = optional_id("clinic_id", request.clinic_id)
        status = _STATUSES.get(request.status)
        filters = (caller.id, request.clinic_id, request.status)
        before = read_id(request.page_token, *filters)
        async with self._database.reading() as tx:
            rows = await bookings.page(tx, caller, clinic_id, status, before, size + 1)
        shown, next_token = cut(rows, size, lambda row: (row.id,), *filters)
        return booking_pb2.ListBookingsResponse(bookings=map(messages.booking, shown), next_page_token=next_token)

    async def GetBooking(self, request: booking_pb2.GetBookingRequest, context: Any) -> booking_pb2.GetBookingResponse:
        caller = signed_in()
        async with self._database.reading() as tx:
            row = await bookings.get(tx, caller, UUID(request.booking_id))
        return booking_pb2.GetBookingResponse(booking=messages.booking(row))

    async def QuoteRefund(
        self, request: booking_pb2.QuoteRefundRequest, context: Any
    ) -> booking_pb2.QuoteRefundResponse:
        caller = signed_in()
        async with self._database.reading() as tx:
            quote = await cancellation.quote(tx, caller, UUID(request.booking_id))
        return messages.refund_quote(quote)

    @ends_what_was_begun
    async def CancelBooking(
        self, request: booking_pb2.CancelBookingRequest, context: Any
    ) -> booking_pb2.CancelBookingResponse:
        booking_id, claim = UUID(request.booking_id), claim_of(request)
        return await self._cancellations.do(
            CancellationRequest(caller=signed_in(), about=booking_id, claim=claim, reason=request.reason)
        )

    async def _cancel(
        self, requests: Sequence[CancellationRequest]
    ) -> Sequence[booking_pb2.CancelBookingResponse | PetProError]:
        async def work(tx: Transaction) -> list[booking_pb2.CancelBookingResponse | PetProError]:
            return await cancellation.request(tx, self._engine, requests)

        return await together(self._database, _CANCELLING, work, len(requests))

    async def RescheduleBooking(
        self, request: booking_pb2.RescheduleBookingRequest, context: Any
    ) -> booking_pb2.RescheduleBookingResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.RescheduleBookingResponse:
            row = await bookings.reschedule(tx, caller, UUID(request.booking_id), UUID(request.slot_id))
            return booking_pb2.RescheduleBookingResponse(booking=messages.booking(row))

        try:
            return await once(self._database, request, booking_pb2.RescheduleBookingResponse, work)
        except (ServiceUnavailable, ApprovalRequired):
            await self._copies.refresh_service_of(store.get_booking, UUID(request.booking_id))
        return await once(self._database, request, booking_pb2.RescheduleBookingResponse, work)

    @ends_what_was_begun
    async def CheckInBooking(
        self, request: booking_pb2.CheckInBookingRequest, context: Any
    ) -> booking_pb2.CheckInBookingResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.CheckInBookingResponse:
            row = await bookings.check_in(tx, caller, UUID(request.booking_id))
            return booking_pb2.CheckInBookingResponse(booking=messages.booking(row))

        return await once(self._database, request, booking_pb2.CheckInBookingResponse, work)

    @ends_what_was_begun
    async def CompleteBooking(
        self, request: booking_pb2.CompleteBookingRequest, context: Any
    ) -> booking_pb2.CompleteBookingResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.CompleteBookingResponse:
            row = await bookings.complete(tx, caller, UUID(request.booking_id))
            return booking_pb2.CompleteBookingResponse(booking=messages.booking(row))

        return await once(self._database, request, booking_pb2.CompleteBookingResponse, work)

    @ends_what_was_begun
    async def MarkBookingNoShow(
        self, request: booking_pb2.MarkBookingNoShowRequest, context: Any
    ) -> booking_pb2.MarkBookingNoShowResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.MarkBookingNoShowResponse:
            row = await no_show.mark(tx, self._engine, caller, UUID(request.booking_id))
            return booking_pb2.MarkBookingNoShowResponse(booking=messages.booking(row))

        return await once(self._database, request, booking_pb2.MarkBookingNoShowResponse, work)

    async def GetClinicSummary(
        self, request: booking_pb2.GetClinicSummaryRequest, context: Any
    ) -> booking_pb2.GetClinicSummaryResponse:
        caller, clinic_id = signed_in(), UUID(request.clinic_id)
        try:
            async with self._database.reading() as tx:
                rows = await summary.of_clinic(tx, caller, clinic_id)
        except ClinicNotFound:
            await self._copies.refresh_clinic(clinic_id)
            async with self._database.reading() as tx:
                rows = await summary.of_clinic(tx, caller, clinic_id)
        return booking_pb2.GetClinicSummaryResponse(months=map(messages.month, rows))
