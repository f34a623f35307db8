"""The catalog as people meet it in tests: behind its real edge, with a played booking service beside it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import grpc
import orjson
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2 as pb
from petpro.type.v1.money_pb2 import Money
from petpro_common.context import Role
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing

if TYPE_CHECKING:
    from petpro.catalog.v1.catalog_pb2_grpc import CatalogServiceAsyncStub
    from petpro.catalog.v1.operations_pb2_grpc import ReviewOperationsServiceAsyncStub

Headers = tuple[tuple[str, str], ...]


def bearer(token: str) -> Headers:
    return (("authorization", f"Bearer {token}"),)


def mask(*paths: str) -> FieldMask:
    return FieldMask(paths=paths)


@dataclass(frozen=True)
class Person:
    """Somebody with a token, whom account knows."""

    id: UUID
    headers: Headers


class PlayedBookings:
    """Booking, with the bookings that a test gives it."""

    def __init__(self) -> None:
        self.bookings: dict[str, booking_pb2.Booking] = {}
        self.asked = 0

    def register(self, server: aio.Server) -> None:
        get_booking = grpc.unary_unary_rpc_method_handler(
            self._get_booking,
            request_deserializer=booking_pb2.GetBookingRequest.FromString,
            response_serializer=booking_pb2.GetBookingResponse.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler("petpro.booking.v1.BookingService", {"GetBooking": get_booking})
        server.add_generic_rpc_handlers((service,))

    async def _get_booking(
        self, request: booking_pb2.GetBookingRequest, context: Any
    ) -> booking_pb2.GetBookingResponse:
        self.asked += 1
        if request.booking_id not in self.bookings:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such booking")
        return booking_pb2.GetBookingResponse(booking=self.bookings[request.booking_id])


@dataclass
class Catalog:
    """The catalog, and who uses it: an owner with a clinic in Jakarta, another owner, a customer, an administrator."""

    api: "CatalogServiceAsyncStub"
    operations: "ReviewOperationsServiceAsyncStub"
    database: Database
    keys: KeyRing
    played: PlayedBookings
    people: dict[str, Person] = field(default_factory=dict)

    def person(self, name: str, role: Role) -> Person:
        if name not in self.people:
            id_ = uuid4()
            self.people[name] = Person(id_, bearer(self.keys.person(id_, role)))
        return self.people[name]

    @property
    def wayan(self) -> Person:
        return self.person("drh. Wayan, who owns a clinic", Role.CLINIC)

    @property
    def dewi(self) -> Person:
        return self.person("drh. Dewi, who owns another", Role.CLINIC)

    @property
    def sari(self) -> Person:
        return self.person("Sari, a customer", Role.CUSTOMER)

    @property
    def admin(self) -> Person:
        return self.person("an administrator", Role.ADMIN)

    @property
    def booking_service(self) -> Headers:
        return bearer(self.keys.service("booking"))

    async def applied(self, owner: Person | None = None, **fields: Any) -> pb.Clinic:
        """A clinic that waits for approval."""
        request = pb.CreateClinicRequest(clinic=clinic_form(**fields))
        return (await self.api.CreateClinic(request, metadata=(owner or self.wayan).headers)).clinic

    async def approved(self, owner: Person | None = None, **fields: Any) -> pb.Clinic:
        """A clinic that everybody sees."""
        clinic = await self.applied(owner, **fields)
        request = pb.ApproveClinicRequest(clinic_id=clinic.id)
        return (await self.api.ApproveClinic(request, metadata=self.admin.headers)).clinic

    async def offered(self, clinic: pb.Clinic, owner: Person | None = None, **fields: Any) -> pb.Service:
        """A service of the clinic."""
        request = pb.CreateServiceRequest(clinic_id=clinic.id, service=service_form(**fields))
        return (await self.api.CreateService(request, metadata=(owner or self.wayan).headers)).service

    async def employed(self, clinic: pb.Clinic, owner: Person | None = None, **fields: Any) -> pb.Staff:
        """Somebody who works at the clinic."""
        request = pb.CreateStaffRequest(clinic_id=clinic.id, staff=staff_form(**fields))
        return (await self.api.CreateStaff(request, metadata=(owner or self.wayan).headers)).staff

    def book(self, service: pb.Service, customer: Person | None = None, status: str = "COMPLETED") -> str:
        """A booking of the service that booking knows of; its id."""
        booking_id = str(new_id())
        self.played.bookings[booking_id] = booking_pb2.Booking(
            id=booking_id,
            user_id=str((customer or self.sari).id),
            clinic_id=service.clinic_id,
            service_id=service.id,
            status=booking_pb2.BookingStatus.Value(f"BOOKING_STATUS_{status}"),
        )
        return booking_id

    async def events(self, event_type: str) -> list[dict[str, Any]]:
        """What the outbox holds of that type, oldest first."""
        query = text("SELECT payload FROM outbox WHERE subject = :subject ORDER BY id")
        async with self.database.transaction() as tx:
            rows = (await tx.execute(query, {"subject": f"petpro.events.{event_type}"})).all()
        return [orjson.loads(bytes(row.payload)) for row in rows]


def clinic_form(**fields: Any) -> pb.Clinic:
    usual = {
        "name": "Klinik Hewan Menteng",
        "address": "Jl. Cikini Raya 27",
        "city": "Jakarta",
        "province": "DKI Jakarta",
        "postal_code": "10330",
        "phone_number": "+62 21 555 0123",
        "email": "halo@menteng.example",
    }
    return pb.Clinic(**{**usual, **fields})


def tier_policy(*tiers: tuple[int, int]) -> pb.CancellationPolicy:
    return pb.CancellationPolicy(tiers=[pb.RefundTier(min_hours_before=h, refund_percent=p) for h, p in tiers])


def service_form(**fields: Any) -> pb.Service:
    usual = {
        "name": "Vaksinasi kucing",
        "price": Money(amount="150000.00", currency_code="IDR"),
        "duration_minutes": 30,
    }
    return pb.Service(**{**usual, **fields})


def staff_form(**fields: Any) -> pb.Staff:
    usual = {
        "name": "drh. Putu Ayu",
        "email": "putu@menteng.example",
        "phone": "+62 812 555 0199",
        "role": "veterinarian",
    }
    return pb.Staff(**{**usual, **fields})


def details_of(error: aio.AioRpcError) -> list[Any]:
    """The ErrorInfo and BadRequest of a refusal."""
    found: list[Any] = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
                    message = kind()
                    if detail.Unpack(message):
                        found.append(message)
    return found


def reason(error: aio.AioRpcError) -> str:
    """The reason of a refusal."""
    return next(str(one.reason) for one in details_of(error) if isinstance(one, error_details_pb2.ErrorInfo))


def broken_fields(error: aio.AioRpcError) -> set[str]:
    """The fields that a refusal complains of."""
    found = [one for one in details_of(error) if isinstance(one, error_details_pb2.BadRequest)]
    return {violation.field for one in found for violation in one.field_violations}
