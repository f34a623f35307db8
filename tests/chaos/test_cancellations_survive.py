"""Cancellations that are under way when a part is killed: every saga ends, money goes back once, seats are free."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from uuid import uuid4

import pytest

from devstack.api import Json
from devstack.running import RunningStack
from devstack.testing import StartStack
from tests import invariants
from tests.world import World, eventually, open_world

SECONDS_BETWEEN = 0.03
MEANS = ("tok_success", "tok_refund_slow:0.4", "tok_refund_refused", "tok_success", "tok_refund_timeout", "tok_success")
"""How the bookings were paid: for these the provider gives back at once, later, not at all, or without a word."""

Disturb = Callable[[RunningStack], Awaitable[None]]


# A mail whose sender died is tried again when its lease has run out: a minute, where nobody waits for it.
IMPATIENT = {
    "notification": {
        "PETPRO_NOTIFICATION_DELIVERY_TRY_SECONDS": "3",
        "PETPRO_NOTIFICATION_DELIVERY_LEASE_SECONDS": "4",
    }
}


@pytest.fixture(scope="module")
def impatient_stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(env=IMPATIENT)


@pytest.fixture
async def world(impatient_stack: RunningStack) -> AsyncIterator[World]:
    async with open_world(impatient_stack) as opened:
        yield opened


def _kill(part: str) -> Disturb:
    async def disturb(stack: RunningStack) -> None:
        await stack.kill(part)
        await stack.start_part(part)

    return disturb


async def _wipe_the_broker(stack: RunningStack) -> None:
    """The broker is killed and comes back with nothing: no streams, no messages, no consumers."""
    await stack.kill("nats")
    shutil.rmtree(stack.run / "nats" / "data")
    await stack.start_part("nats")


async def _kill_both_services(stack: RunningStack) -> None:
    await asyncio.gather(stack.kill("booking"), stack.kill("payment"))
    await asyncio.gather(stack.start_part("booking"), stack.start_part("payment"))


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(_kill("booking"), id="booking is killed"),
        pytest.param(_kill("payment"), id="payment is killed"),
        pytest.param(_kill("notification"), id="notification is killed"),
        pytest.param(_kill("nats"), id="the broker is killed"),
        pytest.param(_wipe_the_broker, id="the broker forgets everything"),
        pytest.param(_kill("postgres"), id="the database is killed"),
        pytest.param(_kill_both_services, id="booking and payment are killed together"),
    ],
)
async def test_every_cancellation_ends_when(world: World, disturb: Disturb) -> None:
    clinic, person = await asyncio.gather(world.clinic(capacity=len(MEANS)), world.customer())
    bookings = await asyncio.gather(*(world.book(person, clinic.slot(), means) for means in MEANS))
    intents = [await _intent(world, booking) for booking in bookings]

    async def cancel_after(seconds: float, booking: Json) -> None:
        await asyncio.sleep(seconds)
        key = uuid4().hex
        await eventually("the cancellation to be taken on", lambda: world.cancel(person.api, booking["id"], key))

    asked = [
        asyncio.create_task(cancel_after(number * SECONDS_BETWEEN, booking)) for number, booking in enumerate(bookings)
    ]
    await asyncio.sleep(len(bookings) * SECONDS_BETWEEN)
    assert await world.rows("booking", "SELECT id FROM sagas WHERE status IN ('running', 'compensating')")
    await disturb(world.stack)
    await asyncio.gather(*asked)

    for booking, means, intent in zip(bookings, MEANS, intents, strict=True):
        await _ends_well(world, booking, intent, refused=means == "tok_refund_refused")
    assert await world.seats_taken(clinic, clinic.slot()) == MEANS.count("tok_refund_refused")
    await invariants.hold(world)


async def _intent(world: World, booking: Json) -> str:
    return str((await world.payment(world.admin, booking["payment_id"]))["external_reference"])


async def _ends_well(world: World, booking: Json, intent: str, *, refused: bool) -> None:
    await world.saga_ends(f"cancellation:{booking['id']}:", "compensated" if refused else "completed")
    refunds = [(refund["status"], refund["amount"]) for refund in await world.refunds_at_provider(intent)]
    assert refunds == ([] if refused else [("succeeded", booking["amount"]["amount"])])
    now = await world.booking(world.admin, booking["id"])
    assert now["status"] == ("BOOKING_STATUS_CONFIRMED" if refused else "BOOKING_STATUS_CANCELLED")
    entries = [e for e in await world.ledger(booking) if e["status"] != "FINANCIAL_ENTRY_STATUS_CANCELLED"]
    kept = sum((Decimal(entry["total_amount"]["amount"]) for entry in entries), Decimal(0))
    assert kept == (Decimal(booking["amount"]["amount"]) if refused else 0)
