"""Catalog and account as booking meets them over gRPC, with a few clinics and pets in memory."""

import asyncio
from typing import Any
from uuid import UUID

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro.type.v1.money_pb2 import Money
from petpro_common.errors import NotFound
from petpro_common.ids import new_id

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class PlayedCatalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Says what a test has put into it, when the test lets it."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.clinics: dict[str, catalog_pb2.Clinic] = {}
        self.services: dict[str, catalog_pb2.Service] = {}
        self.staff: dict[str, catalog_pb2.Staff] = {}
        self.asked = 0

    def add_clinic(self, owner_id: UUID, timezone: str, opens: str = "09:00", closes: str = "12:00") -> UUID:
        """An approved clinic that is open every day."""
        day = catalog_pb2.DayHours(open=opens, close=closes, is_open=True)
        tiers = [catalog_pb2.RefundTier(min_hours_before=24, refund_percent=100)]
        clinic = catalog_pb2.Clinic(
            id=str(new_id()),
            owner_id=str(owner_id),
            name="Klinik Hewan Melati",
            status=catalog_pb2.CLINIC_STATUS_APPROVED,
            timezone=timezone,
            commission_rate="10.00",
            operating_hours=dict.fromkeys(WEEKDAYS, day),
            cancellation_policy=catalog_pb2.CancellationPolicy(tiers=tiers, version=1),
            version=1,
        )
        self.clinics[clinic.id] = clinic
        return UUID(clinic.id)

    def add_service(self, clinic_id: UUID, price: str = "150000.00", minutes: int = 30, currency: str = "IDR") -> UUID:
        service = catalog_pb2.Service(
            id=str(new_id()),
            clinic_id=str(clinic_id),
            name="Vaccination",
            price=Money(amount=price, currency_code=currency),
            duration_minutes=minutes,
            requires_approval=False,
            is_available=True,
            version=1,
        )
        self.services[service.id] = service
        return UUID(service.id)

    def add_staff(self, clinic_id: UUID, user_id: UUID | None = None) -> UUID:
        staff = catalog_pb2.Staff(
            id=str(new_id()), clinic_id=str(clinic_id), user_id=str(user_id) if user_id else "", version=1
        )
        self.staff[staff.id] = staff
        return UUID(staff.id)

    async def GetClinic(self, request: catalog_pb2.GetClinicRequest, context: Any) -> catalog_pb2.GetClinicResponse:
        return catalog_pb2.GetClinicResponse(clinic=await self._known(self.clinics, request.clinic_id))

    async def GetService(self, request: catalog_pb2.GetServiceRequest, context: Any) -> catalog_pb2.GetServiceResponse:
        return catalog_pb2.GetServiceResponse(service=await self._known(self.services, request.service_id))

    async def GetStaff(self, request: catalog_pb2.GetStaffRequest, context: Any) -> catalog_pb2.GetStaffResponse:
        return catalog_pb2.GetStaffResponse(staff=await self._known(self.staff, request.staff_id))

    async def _known(self, things: dict[str, Any], thing_id: str) -> Any:
        self.asked += 1
        await self.may_answer.wait()
        if thing_id not in things:
            raise NotFound
        return things[thing_id]


class PlayedPets(account_pb2_grpc.PetServiceServicer):
    """Knows whose pet it is."""

    def __init__(self) -> None:
        self.owners: dict[str, UUID] = {}
        self.asked = 0

    def add_pet(self, user_id: UUID) -> UUID:
        pet_id = new_id()
        self.owners[str(pet_id)] = user_id
        return pet_id

    async def GetPet(self, request: account_pb2.GetPetRequest, context: Any) -> account_pb2.GetPetResponse:
        self.asked += 1
        if request.pet_id not in self.owners:
            raise NotFound
        pet = account_pb2.Pet(id=request.pet_id, user_id=str(self.owners[request.pet_id]), name="Milo")
        return account_pb2.GetPetResponse(pet=pet)
