"""Booking, asked for what its events have not told yet."""

from datetime import UTC
from uuid import UUID

import grpc
from grpc import aio

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_catalog.domain import CompletedBooking


class Bookings:
    """Bookings over gRPC, with the deadline and retries of the channel."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = booking_pb2_grpc.BookingServiceStub(channel)

    async def completed(self, booking_id: UUID) -> CompletedBooking | None:
        """The booking if it is completed. Raises AioRpcError when booking cannot be asked."""
        try:
            reply = await self._stub.GetBooking(booking_pb2.GetBookingRequest(booking_id=str(booking_id)))
        except aio.AioRpcError as failed:
            if failed.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        found = reply.booking
        if found.status != booking_pb2.BOOKING_STATUS_COMPLETED:
            return None
        return CompletedBooking(
            booking_id=booking_id,
            user_id=UUID(found.user_id),
            clinic_id=UUID(found.clinic_id),
            service_id=UUID(found.service_id),
            completed_at=found.updated_at.ToDatetime(UTC),
        )
