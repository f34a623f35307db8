"""The whole way of a customer through the gateway: find, hold, pay, be booked, cancel, have the money back."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import uuid4

from bench import audit
from bench.load import Operation
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate, callers
from bench.section import Figures, Options, Results
from bench.session import Session
from bench.stage import Stage, open_stage
from bench.wire import json_headers

NAME = "story"
ABOUT = "A customer's whole way through the gateway: seven calls and two sagas to their end."
CALLERS = (1, 8, 32, 128)
NEAREST = "/v1/clinics?latitude=-6.19&longitude=106.83&radius_km=25&page_size=5"


@dataclass(frozen=True)
class Customer:
    """Calls through the gateway, and waits for sagas."""

    session: Session
    gateway: str
    token: str
    dsn: str

    async def get(self, path: str) -> Any:
        headers = json_headers("GET", self.gateway, path, self.token)
        return json.loads(await self.session.call(self.gateway, headers, b""))

    async def post(self, path: str, body: Mapping[str, str]) -> Any:
        """Under an idempotency key of its own."""
        headers = json_headers("POST", self.gateway, path, self.token)
        own = [("idempotency-key", uuid4().hex)]
        return json.loads(await self.session.call(self.gateway, headers, json.dumps(body).encode(), own))

    async def book(self, slot_id: str, pet_id: str) -> str:
        """The booking's id, when its saga has ended. Raises RuntimeError when it ended otherwise than well."""
        held = (await self.post("/v1/reservations", {"slot_id": slot_id, "pet_id": pet_id}))["reservation"]
        payment = {"lock_id": held["lock_id"], "payment_method": "card", "payment_token": "tok_success"}
        paid = (await self.post(f"/v1/reservations/{held['id']}:checkout", payment))["reservation"]
        await self._completed(f"checkout:{held['id']}:1")
        return str(paid["booking_id"])

    async def cancel(self, booking_id: str) -> None:
        """Waits for its saga too. Raises RuntimeError when it ended otherwise than well."""
        await self.post(f"/v1/bookings/{booking_id}:cancel", {"reason": "bench"})
        await self._completed(f"cancellation:{booking_id}:1")

    async def _completed(self, key: str) -> None:
        ended = await self.session.saga_end(self.dsn, key)
        if ended != "completed":
            raise RuntimeError(f"{key} is {ended}")


@dataclass(frozen=True)
class Story:
    """One customer after the other, each at the next slot."""

    gateway: str
    token: str
    dsn: str
    pet_id: str
    service_id: str
    slot_ids: tuple[str, ...]

    def share(self, number: int, of: int) -> Self:
        return replace(self, slot_ids=self.slot_ids[number::of])

    def start(self, session: Session) -> Operation:
        slots = itertools.cycle(self.slot_ids)
        customer = Customer(session, self.gateway, self.token, self.dsn)

        async def once() -> bytes:
            await customer.get(NEAREST)
            await customer.get(f"/v1/services/{self.service_id}/slots?available_only=true&page_size=20")
            booking_id = await customer.book(next(slots), self.pet_id)
            await customer.get(f"/v1/bookings/{booking_id}")
            await customer.cancel(booking_id)
            booking = (await customer.get(f"/v1/bookings/{booking_id}"))["booking"]
            if booking["status"] != "BOOKING_STATUS_CANCELLED":
                raise RuntimeError(f"the booking is {booking['status']}")
            return b""

        return once


async def run(options: Options) -> Results:
    """At each number of customers at once; afterwards the auditor looks at all of it."""
    async with open_stage() as stage, open_meter(stage) as meter:
        rows = await alternate([_contestant(meter, number, options.seconds) for number in CALLERS], options.rounds)
        return Results(rows, [await audit.verdict(stage)])


def _contestant(meter: Meter, number: int, seconds: float) -> Contestant:
    async def once() -> Figures:
        await meter.stage.renew_token()
        return await meter.measure(story_of(meter.stage), number, seconds, drains=True)

    return Contestant("the whole way", callers(number), once)


def story_of(stage: Stage) -> Story:
    """The story on that stage."""
    slots = tuple(stage.slot_ids)
    return Story(stage.gateway, stage.token, stage.dsn(), stage.pet_id, stage.service_id, slots)
