"""Small real gRPC services behind the gateway under test, and the keys and tokens of the people in the tests."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status
from joserfc import jwt
from joserfc.jwk import ECKey

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro.payment.v1 import payment_pb2, payment_pb2_grpc

Context = aio.ServicerContext[Any, Any]

NEVER_ANSWERED = "/v1/bookings"
"""Asked for a list, the booking service never answers."""
UNREAD_BOOKING = "00000000-0000-7000-8000-00000000b0b1"
"""This one it leaves unread."""
BEGUN_BOOKING = "00000000-0000-7000-8000-00000000d1d1"
"""Cannot be cancelled, with every detail that an error can have."""


@dataclass
class Call:
    """One call as a service saw it."""

    method: str
    request: Any
    metadata: dict[str, str]
    seconds_left: float | None


@dataclass
class Upstream:
    """All services in one process, with what they were asked and the keys that account publishes."""

    keys: list[ECKey] = field(default_factory=lambda: [new_key("first")])
    calls: list[Call] = field(default_factory=list)
    address: str = ""

    @property
    def last(self) -> Call:
        return self.calls[-1]

    async def deadline(self, ask: Callable[[], Awaitable[object]], at_least: float) -> float:
        """Seconds that a service had for a call: asked until it had enough, as a busy machine takes some."""
        longest = 0.0
        for _ in range(20):
            before = len(self.calls)
            await ask()
            longest = max([longest, *(call.seconds_left or 0.0 for call in self.calls[before:])])
            if longest > at_least:
                break
        return longest

    def record(self, method: str, request: Any, context: Context) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self.calls.append(Call(method, request, metadata, context.time_remaining()))

    async def serve(self, credentials: grpc.ServerCredentials | None = None) -> tuple[aio.Server, str]:
        """Starts all services on one port, with TLS where there are credentials; the server and its address."""
        server = aio.server()
        account_pb2_grpc.add_AccountServiceServicer_to_server(Account(self), server)  # type: ignore[abstract]
        account_pb2_grpc.add_PetServiceServicer_to_server(Pets(self), server)  # type: ignore[abstract]
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(Catalog(self), server)  # type: ignore[abstract]
        booking_pb2_grpc.add_BookingServiceServicer_to_server(Bookings(self), server)  # type: ignore[abstract]
        payment_pb2_grpc.add_PaymentServiceServicer_to_server(Payments(self), server)  # type: ignore[abstract]
        anywhere = "127.0.0.1:0"
        port = server.add_secure_port(anywhere, credentials) if credentials else server.add_insecure_port(anywhere)
        await server.start()
        return server, f"127.0.0.1:{port}"


class Account(account_pb2_grpc.AccountServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def GetJwks(self, request: account_pb2.GetJwksRequest, context: Context) -> account_pb2.GetJwksResponse:
        keys = [key.as_dict(private=False) for key in self._upstream.keys]
        return account_pb2.GetJwksResponse(
            keys=[account_pb2.Jwk(**{name: str(key[name]) for name in key}, alg="ES256", use="sig") for key in keys]
        )

    async def CreateToken(
        self, request: account_pb2.CreateTokenRequest, context: Context
    ) -> account_pb2.CreateTokenResponse:
        self._upstream.record("CreateToken", request, context)
        return account_pb2.CreateTokenResponse(tokens=account_pb2.Tokens(token_type="Bearer"))

    async def RefreshToken(
        self, request: account_pb2.RefreshTokenRequest, context: Context
    ) -> account_pb2.RefreshTokenResponse:
        return account_pb2.RefreshTokenResponse()

    async def GetCurrentUser(
        self, request: account_pb2.GetCurrentUserRequest, context: Context
    ) -> account_pb2.GetCurrentUserResponse:
        self._upstream.record("GetCurrentUser", request, context)
        return account_pb2.GetCurrentUserResponse(
            user=account_pb2.User(full_name="Dewi", role=account_pb2.ROLE_CUSTOMER)
        )

    async def GetUser(self, request: account_pb2.GetUserRequest, context: Context) -> account_pb2.GetUserResponse:
        self._upstream.record("GetUser", request, context)
        return account_pb2.GetUserResponse()


class Pets(account_pb2_grpc.PetServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def UpdatePet(self, request: account_pb2.UpdatePetRequest, context: Context) -> account_pb2.UpdatePetResponse:
        self._upstream.record("UpdatePet", request, context)
        return account_pb2.UpdatePetResponse(pet=request.pet)


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ListClinics(
        self, request: catalog_pb2.ListClinicsRequest, context: Context
    ) -> catalog_pb2.ListClinicsResponse:
        self._upstream.record("ListClinics", request, context)
        clinics = [catalog_pb2.Clinic(name="Klinik Sehat", description="a" * 30_000)] * request.page_size
        return catalog_pb2.ListClinicsResponse(clinics=clinics)


class Bookings(booking_pb2_grpc.BookingServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ListBookings(
        self, request: booking_pb2.ListBookingsRequest, context: Context
    ) -> booking_pb2.ListBookingsResponse:
        self._upstream.record("ListBookings", request, context)
        await asyncio.sleep(60)
        return booking_pb2.ListBookingsResponse()

    async def GetBooking(
        self, request: booking_pb2.GetBookingRequest, context: Context
    ) -> booking_pb2.GetBookingResponse:
        self._upstream.record("GetBooking", request, context)
        if request.booking_id == UNREAD_BOOKING:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        return booking_pb2.GetBookingResponse(booking=booking_pb2.Booking(id=request.booking_id))

    async def CancelBooking(
        self, request: booking_pb2.CancelBookingRequest, context: Context
    ) -> booking_pb2.CancelBookingResponse:
        self._upstream.record("CancelBooking", request, context)
        if request.booking_id == BEGUN_BOOKING:
            await context.abort_with_status(rpc_status.to_status(rich_status()))
        return booking_pb2.CancelBookingResponse(booking=booking_pb2.Booking(id=request.booking_id))


class Payments(payment_pb2_grpc.PaymentServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ReceiveWebhook(
        self, request: payment_pb2.ReceiveWebhookRequest, context: Context
    ) -> payment_pb2.ReceiveWebhookResponse:
        self._upstream.record("ReceiveWebhook", request, context)
        return payment_pb2.ReceiveWebhookResponse()


def rich_status() -> status_pb2.Status:
    """A refusal as PetPro's services make them."""
    status = status_pb2.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="It has begun.")
    info = error_details_pb2.ErrorInfo(
        reason="WRONG_BOOKING_STATUS", domain="booking.petpro", metadata={"status": "completed"}
    )
    violation = error_details_pb2.BadRequest.FieldViolation(field="reason", description="is too long")
    status.details.add().Pack(info)
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2)))
    return status


def new_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid}, private=True)


def token(key: ECKey, **changed: Any) -> str:
    """An access token of the customer Dewi; claims may be changed, None takes one out."""
    now = int(time.time())
    claims = {"iss": "petpro:account", "aud": "petpro", "sub": "dewi", "role": "customer", "exp": now + 900}
    claims = {name: value for name, value in {**claims, "iat": now, **changed}.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)
