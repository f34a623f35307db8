"""Cancellations that are under way when a part is killed: every saga ends, money goes back once, seats are free."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from uuid import uuid4

import pytest

from devstack.api import Json
from devstack.running import RunningStack
from tests import invariants
from tests.waiting import eventually
from tests.world import World, open_world

SECONDS_BETWEEN = 0.03
MEANS = (
    "tok_success",
    "tok_refund_slow:0.4",
    "tok_refund_refused",
    "tok_refund_at_once",
    "tok_refund_timeout",
    "tok_success",
)
"""How the bookings were paid: for these the provider gives back at once, later, not at all, or without a word."""

HALF_BACK = [{"min_hours_before": 0, "refund_percent": 50}]
"""With half of it still there, the provider itself would not stop a second refund."""

Disturb = Callable[[RunningStack], Awaitable[None]]
Moment = Callable[[World, list[str]], Awaitable[None]]
"""Returns when it is time to disturb; it knows the payments at the provider."""


@pytest.fixture
async def world(own_stack: RunningStack) -> AsyncIterator[World]:
    async with open_world(own_stack) as opened:
        yield opened


def _kill(part: str) -> Disturb:
    async def disturb(stack: RunningStack) -> None:
        await stack.kill(part)
        await stack.start_part(part)

    return disturb


async def _wipe_the_broker(stack: RunningStack) -> None:
    """The broker comes back with nothing: no streams, no consumers, nor events that nobody had read yet."""
    await stack.kill("notification")
    await asyncio.sleep(0.5)
    await stack.kill("nats")
    shutil.rmtree(stack.run / "nats" / "data")
    await stack.start_part("nats")
    await stack.start_part("notification")


async def _kill_both_services(stack: RunningStack) -> None:
    await asyncio.gather(stack.kill("booking"), stack.kill("payment"))
    await asyncio.gather(stack.start_part("booking"), stack.start_part("payment"))


async def _all_have_begun(_world: World, _intents: list[str]) -> None:
    await asyncio.sleep(len(MEANS) * SECONDS_BETWEEN)


async def _money_leaves(world: World, intents: list[str]) -> None:
    """The provider has the first refund, and payment perhaps not yet its answer."""

    async def seen() -> bool:
        return any([await world.refunds_at_provider(intent) for intent in intents])

    await eventually("the first refund", seen)


@pytest.mark.parametrize(
    ("disturb", "moment"),
    [
        pytest.param(_kill("booking"), _money_leaves, id="booking is killed as money leaves"),
        pytest.param(_kill("payment"), _money_leaves, id="payment is killed as money leaves"),
        pytest.param(_kill("notification"), _money_leaves, id="notification is killed"),
        pytest.param(_kill("nats"), _all_have_begun, id="the broker is killed"),
        pytest.param(_wipe_the_broker, _all_have_begun, id="the broker forgets everything"),
        pytest.param(_kill("postgres"), _all_have_begun, id="the database is killed"),
        pytest.param(_kill_both_services, _money_leaves, id="booking and payment are killed together"),
    ],
)
async def test_every_cancellation_ends_when(world: World, disturb: Disturb, moment: Moment) -> None:
    clinic, person = await asyncio.gather(world.clinic(capacity=len(MEANS), policy=HALF_BACK), world.customer())
    bookings = await asyncio.gather(*(world.book(person, clinic.slot(), means) for means in MEANS))
    intents = [await _intent(world, booking) for booking in bookings]

    async def cancel_after(seconds: float, booking: Json) -> None:
        await asyncio.sleep(seconds)
        key = uuid4().hex
        await eventually("the cancellation to be taken on", lambda: world.cancel(person.api, booking["id"], key))

    asked = [
        asyncio.create_task(cancel_after(number * SECONDS_BETWEEN, booking)) for number, booking in enumerate(bookings)
    ]
    await moment(world, intents)
    await disturb(world.stack)
    await asyncio.gather(*asked)

    for booking, means, intent in zip(bookings, MEANS, intents, strict=True):
        await _ends_well(world, booking, intent, refused=means == "tok_refund_refused")
    assert await world.seats_taken(clinic, clinic.slot()) == MEANS.count("tok_refund_refused")
    await invariants.hold(world)


async def _intent(world: World, booking: Json) -> str:
    return str((await world.payment(world.admin, booking["payment_id"]))["external_reference"])


async def _ends_well(world: World, booking: Json, intent: str, *, refused: bool) -> None:
    price = Decimal(booking["amount"]["amount"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "compensated" if refused else "completed")
    refunds = [(refund["status"], Decimal(refund["amount"])) for refund in await world.refunds_at_provider(intent)]
    assert refunds == ([] if refused else [("succeeded", price / 2)])
    now = await world.booking(world.admin, booking["id"])
    assert now["status"] == ("BOOKING_STATUS_CONFIRMED" if refused else "BOOKING_STATUS_CANCELLED")
    entries = [e for e in await world.ledger(booking) if e["status"] != "FINANCIAL_ENTRY_STATUS_CANCELLED"]
    kept = sum((Decimal(entry["total_amount"]["amount"]) for entry in entries), Decimal(0))
    assert kept == (price if refused else price / 2)
