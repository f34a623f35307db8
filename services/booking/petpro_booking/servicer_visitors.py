"""VisitorService: who comes to a clinic, and with which pet. Account is asked when no transaction is open."""

import asyncio
from typing import Any
from uuid import UUID

from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking import bookings, messages, reservations
from petpro_booking.copies import unless_unknown
from petpro_booking.domain import VisitorNotFound, may_read_history
from petpro_common.context import signed_in
from petpro_common.db import Database


class VisitorServicer(booking_pb2_grpc.VisitorServiceServicer):
    """See the contract."""

    def __init__(self, database: Database, account: aio.Channel) -> None:
        self._database = database
        self._people = account_pb2_grpc.AccountServiceStub(account)
        self._pets = account_pb2_grpc.PetServiceStub(account)

    async def GetReservationVisitor(
        self, request: booking_pb2.GetReservationVisitorRequest, context: Any
    ) -> booking_pb2.GetReservationVisitorResponse:
        async with self._database.reading() as tx:
            held = await reservations.for_clinic(tx, signed_in(), UUID(request.reservation_id))
        visitor = await self._visitor(held.user_id, held.pet_id, with_history=False)
        return booking_pb2.GetReservationVisitorResponse(visitor=visitor)

    async def GetBookingVisitor(
        self, request: booking_pb2.GetBookingVisitorRequest, context: Any
    ) -> booking_pb2.GetBookingVisitorResponse:
        async with self._database.reading() as tx:
            booked = await bookings.for_clinic(tx, signed_in(), UUID(request.booking_id))
        visitor = await self._visitor(booked.user_id, booked.pet_id, with_history=may_read_history(booked.status))
        return booking_pb2.GetBookingVisitorResponse(visitor=visitor)

    async def _visitor(self, user_id: UUID, pet_id: UUID, *, with_history: bool) -> booking_pb2.Visitor:
        person, pet = await asyncio.gather(
            unless_unknown(self._people.GetUser(account_pb2.GetUserRequest(user_id=str(user_id)))),
            unless_unknown(self._pets.GetPet(account_pb2.GetPetRequest(pet_id=str(pet_id)))),
        )
        if person is None:
            raise VisitorNotFound
        found = pet.pet if pet else account_pb2.Pet()
        return messages.visitor(person.user, found, with_history=with_history)
