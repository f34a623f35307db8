"""What booking knows of clinics, services, staff and pets: copies, fed by events (`consumer`).

Where a copy is missing, or is about to be the reason for a refusal, its owner is asked: people read their own writes.
No transaction is open while it answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from grpc import StatusCode, aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro_booking import refund_policy, store, store_projections
from petpro_booking.diary import Hours
from petpro_booking.domain import ServiceNotFound, StaffNotFound
from petpro_common import zones
from petpro_common.db import Database, Row, Transaction

Reply = TypeVar("Reply")
_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Timetable:
    """By what a service's slots are made.

    `clinic_hours` name the service's exceptional dates too; `staff_hours` are empty without a person, or without hours
    of their own.
    """

    clinic_id: UUID
    clinic_status: str
    zone: tzinfo
    duration: timedelta
    clinic_hours: Hours
    staff_hours: Hours


class Copies:
    """Asks owners, and keeps what they say. Raises Unavailable (from the edge) when one does not answer in time."""

    def __init__(self, database: Database, catalog: aio.Channel, account: aio.Channel) -> None:
        self._database = database
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(catalog)
        self._pets = account_pb2_grpc.PetServiceStub(account)
        self._asking: dict[UUID, asyncio.Future[_Row | None]] = {}

    async def refresh_offer(self, slot_id: UUID, pet_id: UUID) -> None:
        """Learns anew whose the pet is, and what the slot's service and clinic are. What nobody knows is left out."""
        await asyncio.gather(self.refresh_service_of(store.get_slot, slot_id), self.refresh_pet(pet_id))

    async def refresh_service_of(self, get: Callable[[Transaction, UUID], Awaitable[Row | None]], id_: UUID) -> None:
        """Learns anew what service and clinic are: those of a slot, a held seat or a booking, which `get` looks up.

        Many who ask for the same at once share the answers.
        """
        async with self._database.reading() as tx:
            found = await get(tx, id_)
        if found is None:
            return
        service, clinic = await asyncio.gather(
            self._shared(found.service_id, self._service), self._shared(found.clinic_id, self._clinic)
        )
        await self._keep(store_projections.keep_service, service)
        await self._keep(store_projections.keep_clinic, clinic)

    async def refresh_pet(self, pet_id: UUID) -> None:
        """Learns anew whose the pet is."""
        await self._keep(store_projections.keep_pet, await self._pet(pet_id))

    async def refresh_clinic(self, clinic_id: UUID) -> None:
        """Learns anew what a clinic is."""
        await self._keep(store_projections.keep_clinic, await self._clinic(clinic_id))

    async def timetable(self, service_id: UUID, staff_id: UUID | None) -> Timetable:
        """Today's hours and duration from catalog itself. Raises ServiceNotFound or StaffNotFound."""
        service = await self._service(service_id)
        if service is None:
            raise ServiceNotFound
        clinic = await self._clinic(service["clinic_id"])
        if clinic is None:
            raise ServiceNotFound
        staff = await self._staff(staff_id) if staff_id else None
        if staff_id and (staff is None or staff["clinic_id"] != clinic["id"]):
            raise StaffNotFound
        await self._keep(store_projections.keep_service, service)
        await self._keep(store_projections.keep_clinic, clinic)
        await self._keep(store_projections.keep_staff, staff)
        return Timetable(
            clinic["id"],
            clinic["status"],
            zones.zone(clinic["timezone"]),
            timedelta(minutes=service["duration_minutes"]),
            {**clinic["operating_hours"], **{day["date"]: day for day in service["availability_exceptions"]}},
            staff["working_hours"] if staff else {},
        )

    async def _keep(self, write: Callable[[Transaction, _Row], None], row: _Row | None) -> None:
        """In a transaction of its own: the consumer writes such rows in the order of the events, several at once."""
        if row is not None:
            async with self._database.transaction() as tx:
                write(tx, row)

    async def _shared(self, thing_id: UUID, ask: Callable[[UUID], Awaitable[_Row | None]]) -> _Row | None:
        """What the owner answers to whoever asked first; the others wait for the same answer."""
        if thing_id not in self._asking:
            self._asking[thing_id] = asyncio.ensure_future(ask(thing_id))
            self._asking[thing_id].add_done_callback(lambda _: self._asking.pop(thing_id))
        return await asyncio.shield(self._asking[thing_id])

    async def _clinic(self, clinic_id: UUID) -> _Row | None:
        request = catalog_pb2.GetClinicRequest(clinic_id=str(clinic_id))
        reply = await unless_unknown(self._catalog.GetClinic(request))
        return reply and _clinic_row(reply.clinic)

    async def _service(self, service_id: UUID) -> _Row | None:
        request = catalog_pb2.GetServiceRequest(service_id=str(service_id))
        reply = await unless_unknown(self._catalog.GetService(request))
        return reply and _service_row(reply.service)

    async def _staff(self, staff_id: UUID) -> _Row | None:
        request = catalog_pb2.GetStaffRequest(staff_id=str(staff_id))
        reply = await unless_unknown(self._catalog.GetStaff(request))
        return reply and _staff_row(reply.staff)

    async def _pet(self, pet_id: UUID) -> _Row | None:
        request = account_pb2.GetPetRequest(pet_id=str(pet_id))
        reply = await unless_unknown(self._pets.GetPet(request))
        return reply and {"id": pet_id, "user_id": UUID(reply.pet.user_id), "is_deleted": False, "version": 0}


async def unless_unknown(call: Awaitable[Reply]) -> Reply | None:
    """The reply, or None when the owner knows no such thing."""
    try:
        return await call
    except aio.AioRpcError as fault:
        if fault.code() is StatusCode.NOT_FOUND:
            return None
        raise


def _clinic_row(clinic: catalog_pb2.Clinic) -> _Row:
    return {
        "id": UUID(clinic.id),
        "owner_id": UUID(clinic.owner_id),
        "name": clinic.name,
        "status": catalog_pb2.ClinicStatus.Name(clinic.status).removeprefix("CLINIC_STATUS_").lower(),
        "timezone": clinic.timezone,
        "commission_rate": Decimal(clinic.commission_rate),
        "cancellation_policy": _plain(clinic.cancellation_policy),
        "operating_hours": {day: _plain(hours) for day, hours in clinic.operating_hours.items()},
        "version": clinic.version,
    }


def _service_row(service: catalog_pb2.Service) -> _Row:
    service_id = UUID(service.id)
    own = _plain(service.cancellation_policy) if service.HasField("cancellation_policy") else None
    return {
        "id": service_id,
        "clinic_id": UUID(service.clinic_id),
        "name": service.name,
        "price": Decimal(service.price.amount),
        "currency": service.price.currency_code,
        "duration_minutes": service.duration_minutes,
        "requires_approval": service.requires_approval,
        "is_available": service.is_available,
        "cancellation_policy": refund_policy.of_service(service_id, own),
        "availability_exceptions": [{"date": one.date, **_plain(one.hours)} for one in service.availability_exceptions],
        "version": service.version,
    }


def _staff_row(staff: catalog_pb2.Staff) -> _Row:
    return {
        "id": UUID(staff.id),
        "clinic_id": UUID(staff.clinic_id),
        "user_id": UUID(staff.user_id) if staff.user_id else None,
        "working_hours": {day: _plain(hours) for day, hours in staff.working_hours.items()},
        "version": staff.version,
    }


def _plain(message: Any) -> _Row:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
