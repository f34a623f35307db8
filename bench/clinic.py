"""A clinic with many slots and one customer, and the calls that are measured."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc.aio
import httpx
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack.api import Api, open_client
from devstack.stack import Stack
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_common.ids import id_of_date

SLOTS = 1000
_SEATS = 100_000
_HOURS = {"open": "08:00", "close": "20:00", "is_open": True}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MAKE_SLOTS = """
    INSERT INTO slots (id, slot_date, service_id, clinic_id, slot_start_time, slot_end_time, starts_at, ends_at,
                       capacity)
    SELECT id, day, %(service_id)s, %(clinic_id)s, '08:00', '09:00', starts, starts + interval '1 hour', %(seats)s
    FROM unnest(%(ids)s::uuid[], %(days)s::date[]) WITH ORDINALITY AS made(id, day, n),
         LATERAL (SELECT day + n * interval '1 minute' AS starts)
"""
_NUMBER_SLOTS = """
    CREATE TABLE bench_slots AS SELECT row_number() OVER () AS n, id, slot_date FROM slots;
    CREATE UNIQUE INDEX ON bench_slots (n);
    ANALYZE
"""


@dataclass
class Clinic:
    """What the calls need. Each method is one call of one caller."""

    booking_dsn: str
    slots: int
    slot_ids: list[str]
    pet_id: str
    token: str
    reservations: Any
    prober: Any
    http: httpx.AsyncClient

    def __post_init__(self) -> None:
        self._slots = itertools.cycle(self.slot_ids)
        self._keys = (f"{uuid4()}-{n}" for n in itertools.count())
        self._metadata = (("authorization", f"Bearer {self.token}"),)

    async def health(self, _: int) -> object:
        return await self.prober.Check(health_pb2.HealthCheckRequest(service="liveness"))

    async def hold(self, _: int) -> object:
        request = booking_pb2.CreateReservationRequest(
            slot_id=next(self._slots), pet_id=self.pet_id, request_id=next(self._keys)
        )
        return await self.reservations.CreateReservation(request, metadata=self._metadata, timeout=5)

    async def hold_through_gateway(self, _: int) -> object:
        answer = await self.http.post(
            "/v1/reservations",
            json={"slot_id": next(self._slots), "pet_id": self.pet_id},
            headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": next(self._keys)},
        )
        return answer.raise_for_status()


@asynccontextmanager
async def open_clinic(stack: Stack, callers: int) -> AsyncIterator[Clinic]:
    """Makes people, a clinic and its slots through the API, but for the slots, which are many."""
    said: Any = stack.endpoints
    async with AsyncExitStack() as open_things:
        client = await open_things.enter_async_context(open_client(said["gateway_url"]))
        owner, _ = await _person(Api(client), "ROLE_CLINIC")
        admin = await Api(client).sign_in(**said["users"]["admin"])
        customer, token = await _person(Api(client), "ROLE_CUSTOMER")
        clinic_id, service_id = await _clinic(owner, admin)
        pet = await customer.post("/v1/pets", {"pet": {"name": "Rex", "species": "dog"}})
        slot_ids = await _slots(stack, clinic_id, service_id)
        channel = await open_things.enter_async_context(grpc.aio.insecure_channel(said["services"]["booking"]["grpc"]))
        limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
        http = await open_things.enter_async_context(httpx.AsyncClient(base_url=said["gateway_url"], limits=limits))
        yield Clinic(
            booking_dsn=stack.around.postgres.superuser_url("petpro_booking"),
            slots=SLOTS,
            slot_ids=slot_ids,
            pet_id=pet["pet"]["id"],
            token=token,
            reservations=booking_pb2_grpc.ReservationServiceStub(channel),
            prober=health_pb2_grpc.HealthStub(channel),
            http=http,
        )


async def _person(api: Api, role: str) -> tuple[Api, str]:
    """Somebody new, signed in, and their access token."""
    email, password = f"bench.{uuid4().hex[:8]}@petpro.example", uuid4().hex
    person = {"email": email, "password": password, "full_name": "Bench", "phone_number": "+628123456789", "role": role}
    await api.post("/v1/users", person)
    tokens = (await api.post("/v1/auth/token", {"email": email, "password": password}))["tokens"]
    return api.signed_in(tokens["access_token"]), tokens["access_token"]


async def _clinic(owner: Api, admin: Api) -> tuple[str, str]:
    clinic = {
        "name": "Klinik Hewan Uji",
        "address": "Jl. Uji 1",
        "city": "Jakarta",
        "province": "DKI Jakarta",
        "postal_code": "10110",
        "phone_number": "+622112345678",
        "email": "uji@petpro.example",
        "operating_hours": dict.fromkeys(_DAYS, _HOURS),
    }
    clinic_id = (await owner.post("/v1/clinics", {"clinic": clinic}))["clinic"]["id"]
    await admin.post(f"/v1/clinics/{clinic_id}:approve")
    service = {"name": "Check-up", "price": {"amount": "150000.00", "currency_code": "IDR"}, "duration_minutes": 60}
    made = await owner.post(f"/v1/clinics/{clinic_id}/services", {"service": service})
    return clinic_id, made["service"]["id"]


async def _slots(stack: Stack, clinic_id: str, service_id: str) -> list[str]:
    """Slots of the coming weeks with room for all, and a table that numbers them for pgbench."""
    first = datetime.now(UTC).date() + timedelta(days=7)
    days = [first + timedelta(days=number % 14) for number in range(SLOTS)]
    ids = [id_of_date(day) for day in days]
    values = {"ids": ids, "days": days, "seats": _SEATS, "clinic_id": clinic_id, "service_id": service_id}
    dsn = stack.around.postgres.superuser_url("petpro_booking")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(_MAKE_SLOTS, values)
        await connection.execute(_NUMBER_SLOTS)
    return [str(slot_id) for slot_id in ids]
