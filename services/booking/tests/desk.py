"""A customer at the clinic's desk: booking with its sagas at work, and payment played over a real broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from devstack import testing
from petpro.booking.v1 import booking_pb2
from petpro_booking import cancellation, checkout
from petpro_booking.saga import SAGAS
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.relay import Relay
from petpro_common.saga import SagaEngine
from petpro_common.testing import eventually, running
from services.booking.tests.payment_played import PlayedPayment
from services.booking.tests.world import MOST_UNPAID, World

Checkout = booking_pb2.CheckoutStatus


@dataclass
class Desk:
    """Budi and his pet at the clinic's desk, with payment behind it."""

    world: World
    payment: PlayedPayment
    budi: UUID

    async def hold(self, slot_id: UUID) -> Any:
        return await self.world.hold(self.budi, slot_id)

    async def pay(
        self,
        held: Any,
        user_id: UUID | None = None,
        lock_id: str | None = None,
        method: str = "card",
        notes: str = "",
    ) -> Any:
        request = booking_pb2.CheckoutReservationRequest(
            reservation_id=held.id,
            lock_id=lock_id or held.lock_id,
            payment_method=method,
            payment_token="tok_1",
            notes=notes,
        )
        reply = await self.world.reservations.CheckoutReservation(
            request, metadata=self.world.signed_in(user_id or self.budi)
        )
        return reply.reservation

    async def reservation(self, reservation_id: str) -> Any:
        request = booking_pb2.GetReservationRequest(reservation_id=reservation_id)
        reply = await self.world.reservations.GetReservation(request, metadata=self.world.signed_in(self.budi))
        return reply.reservation

    async def until_checkout(self, reservation_id: str, status: Any) -> Any:
        async def reached() -> bool:
            return bool((await self.reservation(reservation_id)).checkout_status == status)

        await eventually(reached)
        return await self.reservation(reservation_id)

    async def book(self, slot_id: UUID, method: str = "card") -> str:
        """The id of a booking that is held, paid and confirmed, with its fee posted."""
        paid = await self.pay(await self.hold(slot_id), method=method)
        booking_id = (await self.until_checkout(paid.id, Checkout.CHECKOUT_STATUS_CONFIRMED)).booking_id
        await eventually(self.all_has_ended)
        return str(booking_id)

    async def all_has_ended(self) -> bool:
        """Whether no saga is under way: what one still asks of payment would come between what another asks."""
        return not await self.world.sql("SELECT FROM sagas WHERE status NOT IN ('completed', 'compensated')")

    async def cancel(self, booking_id: str, metadata: Any = None) -> Any:
        request = booking_pb2.CancelBookingRequest(booking_id=booking_id, reason="Miko is well again")
        return await self.world.bookings.CancelBooking(request, metadata=metadata or self.world.signed_in(self.budi))

    async def booking(self, booking_id: str) -> Any:
        request = booking_pb2.GetBookingRequest(booking_id=booking_id)
        reply = await self.world.bookings.GetBooking(request, metadata=self.world.signed_in(self.budi))
        return reply.booking

    async def until_cancellation(self, booking_id: str, status: Any) -> Any:
        async def reached() -> bool:
            return bool((await self.booking(booking_id)).cancellation_status == status)

        await eventually(reached)
        return await self.booking(booking_id)


@asynccontextmanager
async def open_desk(
    world: World, booking_database: Database, database: testing.MakeDatabase, nats: testing.Broker
) -> AsyncIterator[Desk]:
    made = await database("payment")
    payment_database = Database(made.url, made.password)
    asking = Broker("booking", nats.url, nats.passwords["booking"])
    answering = Broker("payment", nats.url, nats.passwords["payment"])
    await asking.connect()
    await answering.connect()
    steps = {**checkout.local_handlers(timedelta(hours=1), MOST_UNPAID), **cancellation.local_handlers()}
    engine = SagaEngine(booking_database, SAGAS, steps)
    payment = PlayedPayment()
    work = (
        Relay(booking_database, asking).run(),
        Relay(payment_database, answering).run(),
        engine.consumer(asking).run(),
        engine.run_timer(),
        payment.consumer(payment_database, answering).run(),
    )
    async with running(*work):
        yield Desk(world, payment, new_id())
    await asking.close()
    await answering.close()
    await payment_database.close()
