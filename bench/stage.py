"""Where a section measures: a durable stack of its own with a clinic, customers and many free seats."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg

from bench import usage
from devstack.api import Api, open_client
from devstack.layout import SERVICES
from devstack.services import Surroundings
from devstack.stack import Stack
from petpro_account.tokens import TokenKeys
from petpro_common.context import Role
from petpro_common.ids import id_of_date, new_id

SLOTS = 1000
CROWD = 512
"""People who hold seats: so many that each has as few of them as people have, and that services still know their tokens
from one call to the next."""
_SEATS = 100_000
_TOKEN_SECONDS = 480
_PATIENCE_SECONDS, _LOOK_SECONDS = 60.0, 0.5
_IDLE_CORES = 0.25  # that all parts together take when they have nothing to do, and a little more
_ENVIRONMENT = {
    "sandbox": {"PETPRO_SANDBOX_SETTLE_SECONDS": "0"},
    "booking": {"PETPRO_BOOKING_HOLD_SECONDS": "86400", "PETPRO_BOOKING_HOLD_MOST_PER_PERSON": "1000000"},
}
"""The provider settles at once: what is measured is ours. No hold runs out while the bench runs, and nobody has too
many: one customer holds all that is paid for."""
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLINIC = {
    "name": "Klinik Hewan Uji",
    "address": "Jl. Uji 1",
    "city": "Jakarta",
    "province": "DKI Jakarta",
    "postal_code": "10110",
    "latitude": -6.2,
    "longitude": 106.8,
    "phone_number": "+622112345678",
    "email": "uji@petpro.example",
    "operating_hours": {day: {"open": "08:00", "close": "20:00", "is_open": True} for day in _DAYS},
}
_SERVICE = {"name": "Check-up", "price": {"amount": "150000.00", "currency_code": "IDR"}, "duration_minutes": 60}
_MAKE_SLOTS = """
    INSERT INTO slots (id, slot_date, service_id, clinic_id, slot_start_time, slot_end_time, starts_at, ends_at,
                       capacity)
    SELECT id, day, %(service_id)s, %(clinic_id)s, wall::time, (wall + interval '1 hour')::time,
        wall AT TIME ZONE 'Asia/Jakarta', wall AT TIME ZONE 'Asia/Jakarta' + interval '1 hour', %(seats)s
    FROM unnest(%(ids)s::uuid[], %(days)s::date[]) WITH ORDINALITY AS made(id, day, n),
         LATERAL (SELECT day + (n - 1) * interval '1 second' AS wall)
"""
_MAKE_CROWD = """
    INSERT INTO users (id, email, full_name, phone_number, password_hash)
    SELECT user_id, 'crowd.' || user_id || '@petpro.example', 'Bench', '+628123456789', ''
    FROM unnest(%(people)s::uuid[]) AS user_id
"""
_MAKE_PETS = """
    INSERT INTO account_pets (id, user_id, is_deleted, version)
    SELECT pet_id, user_id, false, 1 FROM unnest(%(pets)s::uuid[], %(people)s::uuid[]) AS made(pet_id, user_id)
"""
_GIVE_BACK = """
    WITH ended AS (
        UPDATE reservations SET status = 'cancelled', updated_at = clock_timestamp()
        WHERE status = 'pending' AND user_id = ANY(%(people)s) RETURNING slot_id
    )
    UPDATE slots SET booked_count = booked_count - seats, updated_at = clock_timestamp()
    FROM (SELECT slot_id, count(*) AS seats FROM ended GROUP BY slot_id) AS freed WHERE id = slot_id
"""


class Guest(NamedTuple):
    """One of the crowd: an access token, and a pet to hold seats for."""

    token: str
    pet_id: str


@dataclass
class Stage:
    """A running stack and what calls need."""

    stack: Stack
    folder: Path
    customer: Api
    login: Mapping[str, str]
    clinic_id: str
    service_id: str
    pet_id: str
    slot_ids: list[str]
    crowd: Mapping[UUID, UUID]
    """People, and the pet of each."""
    guests: tuple[Guest, ...] = ()
    """The crowd, signed in."""
    token: str = ""
    token_at: float = 0.0
    further: dict[str, list[int]] = field(default_factory=dict)
    """Processes of a part's kind that a section has started itself."""

    @property
    def around(self) -> Surroundings:
        return self.stack.around

    @property
    def gateway(self) -> str:
        """host:port."""
        return self.around.ports.address("gateway")

    def grpc(self, service: str) -> str:
        """host:port."""
        return self.around.grpc_address(service)

    def dsn(self, service: str = "booking") -> str:
        """The superuser's way into a service's database."""
        return self.around.postgres.superuser_url(f"petpro_{service}")

    async def renew_token(self) -> None:
        """A new access token when the old one will not live through another round."""
        if time.monotonic() - self.token_at > _TOKEN_SECONDS:
            answer = await self.customer.post("/v1/auth/token", dict(self.login))
            self.token, self.token_at = answer["tokens"]["access_token"], time.monotonic()
            keys = TokenKeys((self.around.secrets.folder("account") / "petpro_account_signing_keys").read_text())
            self.guests = tuple(Guest(keys.sign(who, Role.CUSTOMER), str(pet_id)) for who, pet_id in self.crowd.items())

    async def give_back(self) -> None:
        """Ends what the crowd holds, so that a round finds them as the one before did: who holds much is counted."""
        async with await psycopg.AsyncConnection.connect(self.dsn(), autocommit=True) as connection:
            await connection.execute(_GIVE_BACK, {"people": list(self.crowd)})

    def cpu(self) -> Mapping[str, float]:
        """CPU seconds of each part up to now."""
        return usage.cpu_seconds(self.stack, self.further)

    async def quiet(self) -> None:
        """Waits until what was done has no consequences any more: webhooks, events, mails, vacuum. A minute at most."""
        until, before = time.monotonic() + _PATIENCE_SECONDS, self.cpu()
        while time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self.cpu()
            if sum(now.values()) - sum(before.values()) < _IDLE_CORES * _LOOK_SECONDS:
                return
            before = now

    def memory(self) -> Mapping[str, float]:
        """MiB in RAM of each service, as it is now."""
        return {service: usage.resident_mib(pid) for service in SERVICES if (pid := self.stack.pid(service))}


@asynccontextmanager
async def open_stage(env: Mapping[str, Mapping[str, str]] | None = None) -> AsyncIterator[Stage]:
    """Starts a stack in a temporary folder, and removes both. `env` adds settings to parts by name."""
    settings = {
        part: {**_ENVIRONMENT.get(part, {}), **(env or {}).get(part, {})} for part in {*_ENVIRONMENT, *(env or {})}
    }
    with tempfile.TemporaryDirectory(prefix="petpro-bench-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "run", env=settings)
        await stack.start()
        try:
            said: Any = stack.endpoints
            async with open_client(said["gateway_url"]) as client:
                yield await _people(stack, Path(folder), Api(client), said["users"]["admin"])
        finally:
            await stack.stop()


async def _people(stack: Stack, folder: Path, visitor: Api, admin: Mapping[str, str]) -> Stage:
    """All through the API, but for the slots and the crowd, which are many."""
    owner, _ = await _person(visitor, "ROLE_CLINIC")
    customer, login = await _person(visitor, "ROLE_CUSTOMER")
    clinic_id = (await owner.post("/v1/clinics", {"clinic": _CLINIC}))["clinic"]["id"]
    await (await visitor.sign_in(**admin)).post(f"/v1/clinics/{clinic_id}:approve")
    service = (await owner.post(f"/v1/clinics/{clinic_id}/services", {"service": _SERVICE}))["service"]
    pet = (await customer.post("/v1/pets", {"pet": {"name": "Rex", "species": "dog"}}))["pet"]
    dsn = stack.around.postgres.superuser_url("petpro_booking")
    slot_ids = await make_slots(dsn, clinic_id, service["id"])
    crowd = await _make_crowd(stack.around.postgres.superuser_url("petpro_account"), dsn)
    stage = Stage(stack, folder, visitor, login, clinic_id, service["id"], pet["id"], slot_ids, crowd)
    await stage.renew_token()
    return stage


async def _person(visitor: Api, role: str) -> tuple[Api, Mapping[str, str]]:
    login = {"email": f"bench.{uuid4().hex[:8]}@petpro.example", "password": uuid4().hex}
    await visitor.post("/v1/users", {**login, "full_name": "Bench", "phone_number": "+628123456789", "role": role})
    return await visitor.sign_in(**login), login


async def _make_crowd(account: str, booking: str) -> Mapping[UUID, UUID]:
    """People, and for each a pet that booking has heard of, straight into the tables."""
    crowd = {new_id(): new_id() for _ in range(CROWD)}
    values = {"people": list(crowd), "pets": list(crowd.values())}
    for dsn, statement in ((account, _MAKE_CROWD), (booking, _MAKE_PETS)):
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute(statement, values)
    return crowd


async def make_slots(dsn: str, clinic_id: str, service_id: str) -> list[str]:
    """Slots of the coming weeks with room for all, straight into the table."""
    first = datetime.now(UTC).date() + timedelta(days=7)
    days = [first + timedelta(days=number % 14) for number in range(SLOTS)]
    ids = [id_of_date(day) for day in days]
    values = {"ids": ids, "days": days, "seats": _SEATS, "clinic_id": clinic_id, "service_id": service_id}
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(_MAKE_SLOTS, values)
        await connection.execute("ANALYZE slots")
    return [str(slot_id) for slot_id in ids]
