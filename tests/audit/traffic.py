"""People who hold, pay somehow and cancel, for a while."""

import asyncio
import time

from devstack.api import Refused
from tests.world import Clinic, Customer, World

MEANS = (
    "tok_success",
    "tok_processing",
    "tok_declined",
    "tok_refund_slow:0.5",
    "tok_webhook_late:0.5",
    "tok_timeout_then_success",
)


async def visits(world: World, seconds: float) -> int:
    """Four people come and go at one clinic; how many visits they made."""
    clinic = await world.clinic(capacity=3)
    people = await asyncio.gather(*(world.customer() for _ in range(4)))
    until = time.monotonic() + seconds
    return sum(
        await asyncio.gather(*(_come_and_go(world, who, clinic, number, until) for number, who in enumerate(people)))
    )


async def _come_and_go(world: World, who: Customer, clinic: Clinic, number: int, until: float) -> int:
    """One customer after another hour: hold, pay somehow, cancel every other booking. How many visits."""
    visits = 0
    while time.monotonic() < until:
        slot = clinic.slot((number + visits) % len(clinic.slots))
        means = MEANS[(number + visits) % len(MEANS)]
        visits += 1
        try:
            reservation = await world.hold(who, slot)
            await world.checkout(who, reservation, means)
            if means == "tok_declined":
                await world.checkout_ends(who, reservation, "FAILED")
                continue
            booking = await world.checkout_ends(who, reservation, "CONFIRMED")
            if visits % 3:
                await world.cancel(who.api, booking["booking_id"])
        except Refused as refusal:
            if refusal.reason != "SLOT_FULL":
                raise
    return visits
