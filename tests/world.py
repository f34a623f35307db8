"""A running stack as tests use it: people, clinics and bookings, made through the API; databases and provider, read."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from devstack.api import Api, Json, Refused, open_client, open_provider_client
from devstack.running import RunningStack
from tests.signing_in import clinic_owner, sign_up, token_of
from tests.waiting import eventually

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
BANDUNG = (-6.9039, 107.6186)
FULL_REFUND = [{"min_hours_before": 0, "refund_percent": 100}]
TEN_DAYS_BEFORE = [{"min_hours_before": 240, "refund_percent": 100}]
NO_REFUND = [{"min_hours_before": 8760, "refund_percent": 100}]
_BEGIN_AT = """
    UPDATE bookings SET starts_at = slots.starts_at - CAST(%(early)s AS interval)
    FROM slots WHERE slots.id = slot_id AND slots.slot_date = bookings.slot_date AND bookings.id = %(id)s
"""


@dataclass(frozen=True)
class Customer:
    """Somebody with one pet."""

    api: Api
    id: str
    email: str
    token: str
    pet_id: str


@dataclass(frozen=True)
class Clinic:
    """An approved clinic with one service and its slots, earliest first."""

    owner: Api
    owner_id: str
    owner_token: str
    id: str
    service_id: str
    slots: list[Json] = field(default_factory=list)

    def slot(self, number: int = 0) -> str:
        """The id of the nth slot."""
        return str(self.slots[number]["id"])


class World:
    """One test's way to a stack; made by `open_world`."""

    def __init__(
        self, stack: RunningStack, client: httpx.AsyncClient, provider: httpx.AsyncClient, open_things: AsyncExitStack
    ) -> None:
        self.stack = stack
        self._open_things = open_things
        self._connections: dict[str, psycopg.AsyncConnection[Json]] = {}
        self.visitor = Api(client)
        self.provider = provider
        self.admin = self.visitor
        self.clinics: list[str] = []
        """Of this test: what its invariants are about."""

    async def customer(self, **known: str) -> Customer:
        """Sign somebody up, with a pet; `known` is what is theirs of name and address."""
        user, token = await sign_up(self.visitor, "ROLE_CUSTOMER", **known)
        api = self.visitor.signed_in(token)
        pet = (await api.post("/v1/pets", {"pet": {"name": "Moko", "species": "cat"}}))["pet"]
        return Customer(api, user["id"], user["email"], token, pet["id"])

    async def clinic(
        self,
        *,
        price: str = "150000.00",
        capacity: int = 1,
        policy: list[dict[str, int]] = FULL_REFUND,
        no_show_fee: int = 100,
        own_policy: Json | None = None,
        requires_approval: bool = False,
        of_somebody_else: bool = False,
        at: tuple[float, float] = BANDUNG,
    ) -> Clinic:
        """Open a clinic with a day of hourly slots, two days ahead; `own_policy` is its service's.

        One person owns the clinics of all tests of a process, since sign-ups are limited, unless it is somebody else's.
        """
        person = sign_up(self.visitor, "ROLE_CLINIC") if of_somebody_else else clinic_owner(self.stack, self.visitor)
        user, token = await person
        owner = self.visitor.signed_in(token)
        clinic = (await owner.post("/v1/clinics", {"clinic": _clinic(policy, no_show_fee, at)}))["clinic"]
        await self.admin.post(f"/v1/clinics/{clinic['id']}:approve")
        service = {
            "name": "Check-up",
            "price": {"amount": price, "currency_code": "IDR"},
            "duration_minutes": 60,
            "requires_approval": requires_approval,
            **({"cancellation_policy": own_policy} if own_policy else {}),
        }
        made = (await owner.post(f"/v1/clinics/{clinic['id']}/services", {"service": service}))["service"]
        self.clinics.append(clinic["id"])
        slots = await self.slots(owner, made["id"], capacity, days_ahead=2)
        return Clinic(owner, user["id"], token, clinic["id"], made["id"], slots)

    async def slots(self, owner: Api, service_id: str, capacity: int, days_ahead: int) -> list[Json]:
        """Make a day's slots, once booking knows of the service and of the clinic's approval."""
        day = (datetime.now(UTC) + timedelta(days=days_ahead)).date().isoformat()
        wanted = {"from_date": day, "to_date": day, "capacity": capacity}

        async def made() -> list[Json] | None:
            try:
                await owner.post(f"/v1/services/{service_id}/slots:generate", wanted)
            except Refused as refusal:
                if refusal.reason not in ("SERVICE_NOT_FOUND", "SERVICE_UNAVAILABLE", "CLINIC_NOT_FOUND"):
                    raise
            query = {"from_date": day, "to_date": day, "page_size": 100}
            return list((await owner.get(f"/v1/services/{service_id}/slots", **query))["slots"])

        return await eventually("slots to be made", made)

    async def hold(self, who: Customer, slot_id: str, key: str | None = None) -> Json:
        """Hold a seat; patient while booking does not know of the clinic's approval yet."""

        async def held() -> Json | None:
            try:
                wanted = {"slot_id": slot_id, "pet_id": who.pet_id}
                return dict((await who.api.post("/v1/reservations", wanted, key))["reservation"])
            except Refused as refusal:
                if refusal.reason != "SERVICE_UNAVAILABLE":
                    raise
                return None

        return await eventually("the clinic to take bookings", held)

    async def checkout(
        self, who: Customer, reservation: Json, means: str = "tok_success", method: str = "card"
    ) -> Json:
        """Start to pay, by card unless told otherwise."""
        card = {"lock_id": reservation["lock_id"], "payment_method": method, "payment_token": means}
        return dict((await who.api.post(f"/v1/reservations/{reservation['id']}:checkout", card))["reservation"])

    async def checkout_ends(self, who: Customer, reservation: Json, status: str) -> Json:
        """The reservation, once its checkout stands so: CONFIRMED, FAILED, AWAITING_APPROVAL."""

        async def ended() -> Json | None:
            now = await self.reservation(who, reservation["id"])
            return now if now["checkout_status"] == f"CHECKOUT_STATUS_{status}" else None

        return await eventually(f"the checkout to be {status}", ended)

    async def reservation(self, who: Customer, reservation_id: str) -> Json:
        return dict((await who.api.get(f"/v1/reservations/{reservation_id}"))["reservation"])

    async def booking(self, api: Api, booking_id: str) -> Json:
        return dict((await api.get(f"/v1/bookings/{booking_id}"))["booking"])

    async def book(self, who: Customer, slot_id: str, means: str = "tok_success") -> Json:
        """Hold, pay, and return the confirmed booking once its ledger line is there."""
        reservation = await self.hold(who, slot_id)
        await self.checkout(who, reservation, means)
        confirmed = await self.checkout_ends(who, reservation, "CONFIRMED")
        await self.saga_ends(f"checkout:{reservation['id']}:", "completed")
        return await self.booking(who.api, confirmed["booking_id"])

    async def cancel(self, api: Api, booking_id: str, key: str | None = None) -> Json:
        """Ask for a cancellation."""
        asked = await api.post(f"/v1/bookings/{booking_id}:cancel", {"reason": "Moko is well again"}, key)
        return dict(asked["booking"])

    async def miss(self, owner: Api, booking_id: str, key: str | None = None) -> Json:
        """Have the clinic note that nobody came."""
        async with self._begun(booking_id):
            marked = await owner.post(f"/v1/bookings/{booking_id}:noShow", {}, key)
        return dict(marked["booking"])

    async def visit(self, owner: Api, booking_id: str) -> None:
        """Have the clinic check in who came, and note that the visit is over."""
        async with self._begun(booking_id):
            for verb in ("checkIn", "complete"):
                await owner.post(f"/v1/bookings/{booking_id}:{verb}")

    @asynccontextmanager
    async def _begun(self, booking_id: str) -> AsyncIterator[None]:
        """No test waits for the day: within, the start has passed."""
        await self.rows("booking", _BEGIN_AT, id=booking_id, early="3 days")
        yield
        await self.rows("booking", _BEGIN_AT, id=booking_id, early="0 days")

    async def saga_ends(self, business_key: str, status: str) -> Json:
        """The newest saga of that key (or beginning of one), once it stands so."""

        async def ended() -> Json | None:
            found = (await self.admin.get("/v1/operations/sagas", business_key=business_key))["sagas"]
            return dict(found[0]) if found and found[0]["status"] == status else None

        return await eventually(f"saga {business_key} to be {status}", ended)

    async def seats_taken(self, clinic: Clinic, slot_id: str) -> int:
        """How many seats of the slot the API shows as taken."""
        day = next(slot["slot_date"] for slot in clinic.slots if slot["id"] == slot_id)
        query = {"from_date": day, "to_date": day, "page_size": 100}
        slots = (await self.visitor.get(f"/v1/services/{clinic.service_id}/slots", **query))["slots"]
        return int(next(slot["booked_count"] for slot in slots if slot["id"] == slot_id))

    async def ledger(self, booking: Json) -> list[Json]:
        """The ledger's lines of a booking, oldest first."""
        path = f"/v1/clinics/{booking['clinic_id']}/financial-entries"
        return list((await self.admin.get(path, booking_id=booking["id"]))["entries"])[::-1]

    async def payment(self, api: Api, payment_id: str) -> Json:
        return dict((await api.get(f"/v1/payments/{payment_id}"))["payment"])

    async def refunds_at_provider(self, payment_intent: str) -> list[Json]:
        answer = await self.provider.get("/v1/refunds", params={"payment_intent": payment_intent})
        return list(answer.raise_for_status().json()["data"])

    async def settle(self, clinic_id: str) -> list[Json]:
        """Settles all that a clinic has earned until a minute ago, its entries being made older than they are."""
        server: str = self.stack.endpoints["postgres"]["dsn"]
        payment = server.removesuffix("/postgres") + "/petpro_payment"
        async with await psycopg.AsyncConnection.connect(payment, autocommit=True) as superuser:
            await superuser.execute("SET session_replication_role = replica")
            older = "UPDATE financial_entries SET created_at = created_at - interval '1 hour' WHERE clinic_id = %s"
            await superuser.execute(older, [clinic_id])
        until = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
        order = {"until": until, "clinic_id": clinic_id, "reason": "the month is over"}
        return list((await self.admin.post("/v1/operations/settlements:run", order))["settlements"])

    async def rows(self, service: str, statement: str, **values: Any) -> list[Json]:
        """Rows of a service's own database; connects again once when the server has gone meanwhile."""
        try:
            return await self._rows(service, statement, values)
        except psycopg.OperationalError:
            del self._connections[service]
            return await self._rows(service, statement, values)

    async def _rows(self, service: str, statement: str, values: Json) -> list[Json]:
        connection = self._connections.get(service)
        if connection is None or connection.closed:
            dsn = self.stack.endpoints["services"][service]["dsn"]
            connection = await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row, autocommit=True)
            self._open_things.push_async_callback(connection.close)
            self._connections[service] = connection
        cursor = await connection.execute(statement, values)
        return list(await cursor.fetchall()) if cursor.description else []


@asynccontextmanager
async def open_world(stack: RunningStack) -> AsyncIterator[World]:
    """A world for one test."""
    endpoints = stack.endpoints
    async with AsyncExitStack() as open_things:
        client = await open_things.enter_async_context(open_client(endpoints["gateway_url"]))
        provider = await open_things.enter_async_context(open_provider_client(endpoints))
        world = World(stack, client, provider, open_things)
        world.admin = world.visitor.signed_in(await token_of("admin", stack, world.visitor))
        yield world


def _clinic(policy: list[dict[str, int]], no_show_fee: int, at: tuple[float, float]) -> Json:
    hours = {"open": "08:00", "close": "20:00", "is_open": True}
    return {
        "name": f"Klinik Sahabat {uuid4().hex[:6]}",
        "address": "Jl. Kenanga 7",
        "city": "Bandung",
        "province": "Jawa Barat",
        "postal_code": "40115",
        "latitude": at[0],
        "longitude": at[1],
        "phone_number": "+62225550123",
        "email": "halo@klinik.example",
        "operating_hours": dict.fromkeys(WEEKDAYS, hours),
        "timezone": "Asia/Jakarta",
        "cancellation_policy": {"tiers": policy, "no_show_fee_percent": no_show_fee},
    }
