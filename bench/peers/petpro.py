"""PetPro's own cancellations, asked for over gRPC, that go on while booking and payment are killed."""

import asyncio
from collections.abc import Sequence
from typing import Self

import grpc
import grpc.aio
import psycopg

from bench import supply
from bench.measure import Meter
from bench.stage import Stage
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc

_PARTS = ("booking", "payment")
_ENDED = "SELECT count(*) FROM sagas WHERE saga_type = 'cancellation' AND status = 'completed'"
# A second saga of a booking, a second word of its end, and seats freed that were not of a cancelled booking.
_TWICE_IN_BOOKING = """
    SELECT (SELECT coalesce(sum(cancellation_count - 1), 0) FROM bookings WHERE cancellation_count > 1)
         + (SELECT coalesce(sum(told - 1), 0) FROM (
               SELECT count(*) AS told FROM outbox WHERE headers ->> 'ce-type' LIKE '%booking.cancelled'
               GROUP BY aggregate) AS events)
         + (SELECT (SELECT count(*) FROM bookings WHERE status <> 'cancelled') - sum(booked_count) FROM slots)
"""
# A second refund or a second entry of a booking, and money given back beyond what was paid.
_TWICE_IN_PAYMENT = """
    SELECT (SELECT coalesce(sum(made - 1), 0) FROM (SELECT count(*) AS made FROM refunds GROUP BY booking_id) AS r)
         + (SELECT coalesce(sum(made - 1), 0) FROM (
               SELECT count(*) AS made FROM financial_entries WHERE type = 'refund' GROUP BY booking_id) AS e)
         + (SELECT count(*) FROM payments WHERE refund_reserved + refund_done > captured)
"""


class PetPro:
    """The stage's booking and payment, and bookings to cancel."""

    def __init__(self, stage: Stage, bookings: Sequence[str]) -> None:
        self._stage = stage
        self._bookings = bookings

    @classmethod
    async def with_bookings(cls, meter: Meter, count: int) -> Self:
        """Makes so many paid bookings."""
        return cls(meter.stage, await supply.bookings(meter, count))

    async def begin(self, numbers: Sequence[int]) -> None:
        """Asks for the cancellation of these, each under its own key. Raises ConnectionError when a call fails."""
        async with grpc.aio.insecure_channel(self._stage.grpc("booking")) as channel:
            stub = booking_pb2_grpc.BookingServiceStub(channel)
            try:
                await asyncio.gather(*(self._cancel(stub, number) for number in numbers))
            except grpc.aio.AioRpcError as failure:
                raise ConnectionError(failure.details()) from failure

    async def _cancel(self, stub: "booking_pb2_grpc.BookingServiceAsyncStub", number: int) -> None:
        request = booking_pb2.CancelBookingRequest(
            booking_id=self._bookings[number], reason="bench", request_id=f"survival-{number}"
        )
        token = ("authorization", f"Bearer {self._stage.token}")
        await stub.CancelBooking(request, metadata=[token], timeout=5)

    async def kill(self) -> None:
        """SIGKILL to both services."""
        await asyncio.gather(*(self._stage.stack.kill(part) for part in _PARTS))

    async def start(self) -> None:
        """Brings both back."""
        await asyncio.gather(*(self._stage.stack.start_part(part) for part in _PARTS))

    async def ended(self) -> int:
        """How many cancellation sagas are completed."""
        return await self._count("booking", _ENDED)

    async def done_twice(self) -> int:
        """How many effects there are too many, in both databases."""
        booking, payment = ("booking", _TWICE_IN_BOOKING), ("payment", _TWICE_IN_PAYMENT)
        return await self._count(*booking) + await self._count(*payment)

    async def _count(self, service: str, statement: str) -> int:
        async with await psycopg.AsyncConnection.connect(self._stage.dsn(service)) as connection:
            row = await (await connection.execute(statement.encode())).fetchone()
            return int(row[0]) if row else 0
