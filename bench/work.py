"""What callers do: one frozen class for each kind of call, made of plain data. See `load.Work`."""

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self
from uuid import uuid4

from grpc_health.v1 import health_pb2

from bench.load import NothingLeft, Operation
from bench.session import Session
from bench.stage import Guest, Stage
from bench.wire import Headers, grpc_body, grpc_headers, json_headers
from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2

_RESERVATIONS = "petpro.booking.v1.ReservationService"
_BOOKINGS = "petpro.booking.v1.BookingService"


def _keys() -> Iterator[str]:
    """Request ids that nobody else has."""
    prefix = uuid4().hex
    return (f"{prefix}-{number}" for number in itertools.count())


def _coming(guests: Iterable[Guest]) -> Iterator[tuple[Headers, str]]:
    """One guest after the other, over and over: what a call of theirs says of them, and their pet."""
    return itertools.cycle([([("authorization", f"Bearer {guest.token}")], guest.pet_id) for guest in guests])


@dataclass(frozen=True)
class Look:
    """One call that changes nothing, with one body after the other: an empty method, a look-up, a search."""

    address: str
    headers: Headers
    bodies: tuple[bytes, ...]

    def start(self, session: Session) -> Operation:
        bodies = itertools.cycle(self.bodies)
        return lambda: session.call(self.address, self.headers, next(bodies))

    def share(self, number: int, of: int) -> Self:  # noqa: ARG002 - all do the same
        return self


@dataclass(frozen=True)
class Hold:
    """A seat of one slot after the other, by one guest after the other, over gRPC; of several addresses (replicas) in
    turn."""

    addresses: tuple[str, ...]
    guests: tuple[Guest, ...]
    slot_ids: tuple[str, ...]

    def share(self, number: int, of: int) -> Self:
        return replace(self, guests=self.guests[number::of], slot_ids=self.slot_ids[number::of])

    def start(self, session: Session) -> Operation:
        method = f"{_RESERVATIONS}/CreateReservation"
        replicas = itertools.cycle([(one, grpc_headers(one, method)) for one in self.addresses])
        guests, slots, keys = _coming(self.guests), itertools.cycle(self.slot_ids), _keys()

        async def once() -> bytes:
            (address, headers), (own, pet_id) = next(replicas), next(guests)
            request = booking_pb2.CreateReservationRequest(slot_id=next(slots), pet_id=pet_id, request_id=next(keys))
            return await session.call(address, headers, grpc_body(request.SerializeToString()), own)

        return once


@dataclass(frozen=True)
class HoldThroughGateway:
    """The same in JSON through the gateway."""

    address: str
    guests: tuple[Guest, ...]
    slot_ids: tuple[str, ...]

    def share(self, number: int, of: int) -> Self:
        return replace(self, guests=self.guests[number::of], slot_ids=self.slot_ids[number::of])

    def start(self, session: Session) -> Operation:
        headers = json_headers("POST", self.address, "/v1/reservations")
        guests, slots, keys = _coming(self.guests), itertools.cycle(self.slot_ids), _keys()

        async def once() -> bytes:
            own, pet_id = next(guests)
            body = json.dumps({"slot_id": next(slots), "pet_id": pet_id}).encode()
            return await session.call(self.address, headers, body, [*own, ("idempotency-key", next(keys))])

        return once


@dataclass(frozen=True)
class Saga(ABC):
    """A request that starts a saga, of each of `things`, waited for until the saga has ended."""

    address: str
    token: str
    dsn: str
    things: tuple[tuple[str, str], ...]
    """What it is about, and the secret where one is needed."""
    ends: str = "completed"
    payment_token: str = "tok_success"  # noqa: S105 - a test value of the sandbox

    def share(self, number: int, of: int) -> Self:
        return replace(self, things=self.things[number::of])

    def start(self, session: Session) -> Operation:
        headers = grpc_headers(self.address, self.method, self.token)
        things, keys = iter(self.things), _keys()

        async def once() -> bytes:
            thing = next(things, None)
            if thing is None:
                raise NothingLeft
            request = self.request(*thing, next(keys))
            answer = await session.call(self.address, headers, grpc_body(request))
            ended = await session.saga_end(self.dsn, self.key(thing[0]))
            if ended != self.ends:
                raise RuntimeError(f"the saga of {thing[0]} is {ended}, not {self.ends}")
            return answer

        return once

    @property
    @abstractmethod
    def method(self) -> str:
        """The path of the RPC that starts it."""

    @abstractmethod
    def request(self, about: str, secret: str, key: str) -> bytes:
        """The request, serialised, under an idempotency key."""

    @abstractmethod
    def key(self, about: str) -> str:
        """The saga's business key."""


@dataclass(frozen=True)
class Checkout(Saga):
    """From a held seat to a booking that is paid and in the ledger."""

    @property
    def method(self) -> str:
        return f"{_RESERVATIONS}/CheckoutReservation"

    def request(self, about: str, secret: str, key: str) -> bytes:
        return booking_pb2.CheckoutReservationRequest(
            reservation_id=about,
            lock_id=secret,
            payment_method="card",
            payment_token=self.payment_token,
            request_id=key,
        ).SerializeToString()

    def key(self, about: str) -> str:
        return f"checkout:{about}:1"


@dataclass(frozen=True)
class Cancellation(Saga):
    """From a booking to a refund that is settled; or refused, and the booking stands."""

    @property
    def method(self) -> str:
        return f"{_BOOKINGS}/CancelBooking"

    def request(self, about: str, secret: str, key: str) -> bytes:  # noqa: ARG002 - a booking has no secret
        request = booking_pb2.CancelBookingRequest(booking_id=about, reason="bench", request_id=key)
        return request.SerializeToString()

    def key(self, about: str) -> str:
        return f"cancellation:{about}:1"


def empty(stage: Stage) -> Look:
    """An empty method, the health check, in the booking service: what gRPC itself costs."""
    address = stage.grpc("booking")
    request = health_pb2.HealthCheckRequest(service="liveness")
    headers = grpc_headers(address, "grpc.health.v1.Health/Check")
    return Look(address, headers, (grpc_body(request.SerializeToString()),))


def hold(stage: Stage, *more_addresses: str) -> Hold:
    """Holds of the crowd over gRPC at booking, and at further replicas of it."""
    return Hold((stage.grpc("booking"), *more_addresses), stage.guests, tuple(stage.slot_ids))


def hold_of_customer(stage: Stage) -> Hold:
    """Holds of the one customer who pays for them: one at a time, however many callers."""
    return Hold((stage.grpc("booking"),), (Guest(stage.token, stage.pet_id),), tuple(stage.slot_ids))


def hold_through_gateway(stage: Stage) -> HoldThroughGateway:
    return HoldThroughGateway(stage.gateway, stage.guests, tuple(stage.slot_ids))


def availability(stage: Stage) -> Look:
    """The first twenty free slots of the service."""
    request = booking_pb2.ListSlotsRequest(service_id=stage.service_id, available_only=True, page_size=20)
    address = stage.grpc("booking")
    headers = grpc_headers(address, "petpro.booking.v1.SlotService/ListSlots")
    return Look(address, headers, (grpc_body(request.SerializeToString()),))


def look_up(stage: Stage, booking_ids: Iterable[str]) -> Look:
    """One booking after the other, by its customer."""
    requests = [booking_pb2.GetBookingRequest(booking_id=booking_id) for booking_id in booking_ids]
    address = stage.grpc("booking")
    headers = grpc_headers(address, f"{_BOOKINGS}/GetBooking", stage.token)
    return Look(address, headers, tuple(grpc_body(request.SerializeToString()) for request in requests))


def search(stage: Stage) -> Look:
    """The five nearest clinics, over gRPC."""
    request = catalog_pb2.ListClinicsRequest(latitude=-6.19, longitude=106.83, radius_km=25, page_size=5)
    address = stage.grpc("catalog")
    headers = grpc_headers(address, "petpro.catalog.v1.CatalogService/ListClinics")
    return Look(address, headers, (grpc_body(request.SerializeToString()),))


def search_through_gateway(stage: Stage) -> Look:
    """The same in JSON through the gateway."""
    path = "/v1/clinics?latitude=-6.19&longitude=106.83&radius_km=25&page_size=5"
    return Look(stage.gateway, json_headers("GET", stage.gateway, path), (b"",))


def checkout(stage: Stage, holds: list[tuple[str, str]], payment_token: str = "tok_success") -> Checkout:  # noqa: S107
    """Checkouts of held seats: (reservation, lock)."""
    return Checkout(stage.grpc("booking"), stage.token, stage.dsn(), tuple(holds), payment_token=payment_token)


def cancellation(stage: Stage, bookings: list[str], ends: str = "completed") -> Cancellation:
    """Cancellations of bookings, by their customer."""
    things = tuple((booking, "") for booking in bookings)
    return Cancellation(stage.grpc("booking"), stage.token, stage.dsn(), things, ends)
