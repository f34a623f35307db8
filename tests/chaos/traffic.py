"""Customers who come and go while parts die. They ask patiently, always under the same key, and keep what was promised.

A promise is what a reply has told somebody: it must be true once everything is quiet again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from devstack.api import Json, Refused
from tests.waiting import eventually
from tests.world import Clinic, Customer, World

SEATS = 100
PEOPLE = 8
_PATIENCE_SECONDS = 150.0
_BETWEEN_LOOKS = 0.25
_TOO_LATE = {"RESERVATION_EXPIRED", "RESERVATION_NOT_PENDING"}
HALF_BACK = [{"min_hours_before": 0, "refund_percent": 50}]
"""With half of it still there, the provider itself would not stop a second refund."""


@dataclass(frozen=True)
class Promise:
    """`booking_id` will stand at `status`."""

    booking_id: str
    status: str


@dataclass
class Traffic:
    """Everybody of one round. `strict` asks before it takes a booking."""

    world: World
    clinic: Clinic
    strict: Clinic
    people: Sequence[Customer]
    promises: list[Promise] = field(default_factory=list)

    async def flow(self, visits: Sequence[str], end: asyncio.Event) -> None:
        """Everybody makes one visit after another until the end; a fault of one ends all."""
        async with asyncio.TaskGroup() as group:
            for number, who in enumerate(self.people):
                group.create_task(self._come_and_go(who, number, visits, end))

    async def _come_and_go(self, who: Customer, number: int, visits: Sequence[str], end: asyncio.Event) -> None:
        while not end.is_set():
            await VISITS[visits[number % len(visits)]](self, who)
            number += 1

    async def hold(self, who: Customer, clinic: Clinic) -> Json:
        body = {"slot_id": clinic.slot(random.randrange(len(clinic.slots))), "pet_id": who.pet_id}
        return dict((await _surely(lambda key: who.api.post("/v1/reservations", body, key)))["reservation"])

    async def pay(self, who: Customer, reservation: Json, means: str) -> bool:
        """Whether the checkout was taken on: the hold may have run out while a part was away."""
        card = {"lock_id": reservation["lock_id"], "payment_method": "card", "payment_token": means}
        path = f"/v1/reservations/{reservation['id']}:checkout"
        try:
            await _surely(lambda key: who.api.post(path, card, key))
        except Refused as refusal:
            if refusal.reason not in _TOO_LATE:
                raise
            return False
        return True

    async def until(self, who: Customer, reservation: Json, *statuses: str) -> Json:
        """The reservation as soon as its checkout stands at one of these."""

        async def look() -> Json | None:
            now = await self.world.reservation(who, reservation["id"])
            return now if now["checkout_status"].removeprefix("CHECKOUT_STATUS_") in statuses else None

        return await eventually(f"the checkout to be {statuses}", look, _PATIENCE_SECONDS, _BETWEEN_LOOKS)

    async def booked(self, who: Customer, means: str) -> str | None:
        """The id of a new booking; None when the hold ran out before it was paid."""
        reservation = await self.hold(who, self.clinic)
        if not await self.pay(who, reservation, means):
            return None
        now = await self.until(who, reservation, "CONFIRMED", "FAILED")
        return str(now["booking_id"]) if now["checkout_status"].endswith("CONFIRMED") else None

    def promised(self, booking_id: str, status: str) -> None:
        self.promises.append(Promise(booking_id, f"BOOKING_STATUS_{status}"))


async def _surely(ask: Callable[[str], Awaitable[Json]]) -> Json:
    """The answer to one call, under one key, as often as it takes."""
    key = uuid4().hex
    return await eventually("an answer", lambda: ask(key), _PATIENCE_SECONDS, _BETWEEN_LOOKS)


async def keep(traffic: Traffic, who: Customer) -> None:
    means = random.choice(["tok_success", "tok_success", "tok_timeout_then_success", "tok_webhook_twice"])
    if booking_id := await traffic.booked(who, means):
        traffic.promised(booking_id, "CONFIRMED")


async def cancel(traffic: Traffic, who: Customer) -> None:
    means = random.choice(["tok_success", "tok_refund_at_once", "tok_refund_timeout", "tok_refund_slow:0.5"])
    if booking_id := await traffic.booked(who, means):
        reason = {"reason": "Moko is well again"}
        await _surely(lambda key: who.api.post(f"/v1/bookings/{booking_id}:cancel", reason, key))
        traffic.promised(booking_id, "CANCELLED")


async def be_refused(traffic: Traffic, who: Customer) -> None:
    """The provider will not give the money back: the booking stands as before."""
    if booking_id := await traffic.booked(who, "tok_refund_refused"):
        reason = {"reason": "Moko is well again"}
        await _surely(lambda key: who.api.post(f"/v1/bookings/{booking_id}:cancel", reason, key))
        traffic.promised(booking_id, "CONFIRMED")


async def be_sent_away(traffic: Traffic, who: Customer) -> None:
    """The clinic cancels."""
    if booking_id := await traffic.booked(who, "tok_success"):
        path, reason = f"/v1/bookings/{booking_id}:cancel", {"reason": "the doctor is ill"}
        await _surely(lambda key: traffic.clinic.owner.post(path, reason, key))
        traffic.promised(booking_id, "CANCELLED")


async def stay_away(traffic: Traffic, who: Customer) -> None:
    """Nobody comes, and the clinic says so."""
    means = random.choice(["tok_success", "tok_success", "tok_refund_timeout"])
    if booking_id := await traffic.booked(who, means):
        await _surely(lambda key: traffic.world.miss(traffic.clinic.owner, booking_id, key))
        traffic.promised(booking_id, "NO-SHOW")


async def let_go(traffic: Traffic, who: Customer) -> None:
    """A hold runs out."""
    await traffic.hold(who, traffic.clinic)
    await asyncio.sleep(1)


async def ask_first(traffic: Traffic, who: Customer) -> None:
    """The clinic takes its time to approve, so that the saga is asked about meanwhile."""
    reservation = await traffic.hold(who, traffic.strict)
    if not await traffic.pay(who, reservation, "tok_success"):
        return
    now = await traffic.until(who, reservation, "AWAITING_APPROVAL", "FAILED")
    if now["checkout_status"].endswith("FAILED"):
        return
    await asyncio.sleep(random.choice([0.5, 6.0]))
    path = f"/v1/reservations/{reservation['id']}:approve"
    await _surely(lambda key: traffic.strict.owner.post(path, {}, key))


async def think_again(traffic: Traffic, who: Customer) -> None:
    """The payment takes long, and an administrator turns the checkout back."""
    reservation = await traffic.hold(who, traffic.clinic)
    if not await traffic.pay(who, reservation, "tok_processing:3"):
        return
    sagas, admin = "/v1/operations/sagas", traffic.world.admin
    key = f"checkout:{reservation['id']}:"

    async def turned_back() -> bool:
        [saga] = (await admin.get(sagas, business_key=key))["sagas"]
        body = {"expected_version": saga["version"], "reason": "the customer has thought again"}
        try:
            await admin.post(f"{sagas}/{saga['id']}:compensate", body)
        except Refused as refusal:
            if not refusal.reason.startswith("SAGA_"):
                raise
            return refusal.reason != "SAGA_VERSION_CONFLICT"
        return True

    await eventually("the saga to turn back or to end", turned_back, _PATIENCE_SECONDS, _BETWEEN_LOOKS)
    await traffic.until(who, reservation, "FAILED", "CONFIRMED")


Visit = Callable[[Traffic, Customer], Awaitable[None]]
VISITS: dict[str, Visit] = {
    visit.__name__: visit
    for visit in (keep, cancel, be_refused, be_sent_away, stay_away, let_go, ask_first, think_again)
}


async def open_traffic(world: World) -> Traffic:
    """Two clinics and some customers."""
    clinic = await world.clinic(capacity=SEATS, policy=HALF_BACK, no_show_fee=60, of_somebody_else=True)
    strict = await world.clinic(capacity=SEATS, policy=HALF_BACK, of_somebody_else=True, requires_approval=True)
    people = [await world.customer() for _ in range(PEOPLE)]
    for each in (clinic, strict):  # booking has heard of the approval
        await world.hold(people[0], each.slot())
    return Traffic(world, clinic, strict, people)
