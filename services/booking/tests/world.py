"""One clinic with its owner, and booking's servicers behind the real edge on a real database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from grpc import aio
from sqlalchemy import insert, text

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking import bookings, store, store_projections
from petpro_booking.tables import slots
from petpro_common.context import Role
from petpro_common.db import Database, Row
from petpro_common.ids import id_of_date, new_id
from petpro_common.testing import KeyRing, reason_of
from services.booking.tests.servicers_played import PlayedCatalog, PlayedPets

Metadata = tuple[tuple[str, str], ...]
MOST_UNPAID = 10
"""So many bookings to come that nobody has paid for one person may have."""


@dataclass
class World:
    """Ani owns the clinic; everybody else comes as the test wants them."""

    database: Database
    keys: KeyRing
    channel: aio.Channel
    catalog: PlayedCatalog
    pets: PlayedPets
    ani: UUID
    clinic_id: UUID
    service_id: UUID
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """The test's own use of the pool, which it shares with the servicers: a crowd must not keep them out."""

    @property
    def slots(self) -> "booking_pb2_grpc.SlotServiceAsyncStub":
        return booking_pb2_grpc.SlotServiceStub(self.channel)

    @property
    def reservations(self) -> "booking_pb2_grpc.ReservationServiceAsyncStub":
        return booking_pb2_grpc.ReservationServiceStub(self.channel)

    @property
    def bookings(self) -> "booking_pb2_grpc.BookingServiceAsyncStub":
        return booking_pb2_grpc.BookingServiceStub(self.channel)

    @property
    def sagas(self) -> "booking_pb2_grpc.SagaServiceAsyncStub":
        return booking_pb2_grpc.SagaServiceStub(self.channel)

    def signed_in(self, user_id: UUID, role: Role = Role.CUSTOMER) -> Metadata:
        return (("authorization", f"Bearer {self.keys.person(user_id, role)}"),)

    @property
    def as_ani(self) -> Metadata:
        return self.signed_in(self.ani, Role.CLINIC)

    async def open_slot(
        self,
        starts_in: timedelta = timedelta(days=2),
        capacity: int = 1,
        staff_id: UUID | None = None,
        service_id: UUID | None = None,
        minutes: int = 30,
    ) -> UUID:
        """A slot that starts so long after now, by the wall clock of UTC."""
        async with self.database.transaction() as tx:
            now: datetime = (await tx.execute(text("SELECT clock_timestamp()"))).scalar_one()
            starts = now + starts_in
            ends = starts + timedelta(minutes=minutes)
            row = {
                "id": id_of_date(starts.date()),
                "slot_date": starts.date(),
                "slot_start_time": starts.time(),
                "slot_end_time": ends.time(),
                "starts_at": starts,
                "ends_at": ends,
                "service_id": service_id or self.service_id,
                "clinic_id": self.clinic_id,
                "staff_id": staff_id,
                "capacity": capacity,
            }
            await tx.execute(insert(slots).values(row))
        return UUID(str(row["id"]))

    async def hold(self, user_id: UUID, slot_id: UUID, pet_id: UUID | None = None, request_id: str = "") -> Any:
        """Holds a seat over gRPC; for a pet that booking has heard of unless another is given."""
        pet_id = pet_id or await self.known_pet(user_id)
        request = booking_pb2.CreateReservationRequest(slot_id=str(slot_id), pet_id=str(pet_id), request_id=request_id)
        reply = await self.reservations.CreateReservation(request, metadata=self.signed_in(user_id))
        return reply.reservation

    async def known_pet(self, user_id: UUID) -> UUID:
        """A pet of which account's event has come already."""
        pet_id = self.pets.add_pet(user_id)
        async with self.room, self.database.transaction() as tx:
            pet = {"id": pet_id, "user_id": user_id, "is_deleted": False, "version": 1}
            store_projections.keep_pet(tx, pet)
        return pet_id

    async def book(self, user_id: UUID, slot_id: UUID, is_paid: bool = True) -> UUID:
        """Holds a seat and confirms it, as the checkout saga does once it is paid or left to the clinic."""
        held = await self.hold(user_id, slot_id)
        booking_id = new_id()
        async with self.database.transaction() as tx:
            reservation = await store.lock_reservation(tx, UUID(held.id))
            assert reservation is not None
            await bookings.confirm(tx, [bookings.Paid(reservation, booking_id, new_id() if is_paid else None)])
        return booking_id

    async def seats(self, slot_id: UUID) -> tuple[int, str]:
        """How many seats are taken, and the status of the slot."""
        async with self.database.transaction() as tx:
            slot = await store.get_slot(tx, slot_id)
        assert slot is not None
        return slot.booked_count, slot.status

    async def run_out(self, reservation_id: str) -> None:
        """Lets a hold run out a second ago."""
        await self.sql(
            "UPDATE reservations SET expires_at = clock_timestamp() - interval '1 second' WHERE id = :id",
            id=UUID(reservation_id),
        )

    async def events(self, event_type: str) -> list[dict[str, Any]]:
        """What was written to the outbox, in order."""
        rows = await self.sql(
            "SELECT convert_from(payload, 'UTF8')::jsonb AS event FROM outbox WHERE subject = :subject ORDER BY id",
            subject=f"petpro.events.{event_type}",
        )
        return [row.event for row in rows]

    async def sql(self, statement: str, **values: Any) -> Sequence[Row]:
        """Runs any statement in a transaction of its own."""
        async with self.database.transaction() as tx:
            result = await tx.execute(text(statement), values)
            return result.all()


async def until_somebody_waits(world: World, count: int) -> None:
    """Until so many transactions of the test's database wait for a lock."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while len(await world.sql(waiting)) < count:
        await asyncio.sleep(0.01)


async def reason(call: Any) -> str:
    """Why a call is refused; fails when it is not."""
    try:
        await call
    except aio.AioRpcError as refused:
        return reason_of(refused)
    raise AssertionError("the call was not refused")
