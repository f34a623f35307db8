"""The auditor looks again and again while people hold, pay and cancel, and raises no false alarm."""

import asyncio
import time

import pytest

from devstack.api import Refused
from devstack.running import RunningStack
from devstack.testing import StartStack
from petproctl.audit.run import Report
from tests import invariants
from tests.audit.looking import look_over
from tests.world import Clinic, Customer, World, open_world

SECONDS = 8
MEANS = (
    "tok_success",
    "tok_processing",
    "tok_declined",
    "tok_refund_slow:0.5",
    "tok_webhook_late:0.5",
    "tok_timeout_then_success",
)


@pytest.fixture(scope="module")
def busy(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack()


@pytest.mark.timeout(240)
async def test_traffic_raises_no_false_alarm(busy: RunningStack) -> None:
    async with open_world(busy) as world:
        clinic = await world.clinic(capacity=3)
        people = await asyncio.gather(*(world.customer() for _ in range(4)))
        until = time.monotonic() + SECONDS
        comings = asyncio.gather(
            *(_come_and_go(world, who, clinic, number, until) for number, who in enumerate(people))
        )
        reports, visits = await asyncio.gather(_look_on(busy, until), comings)
        assert [violation for report in reports for violation in report.violations] == []
        assert len(reports) > 2
        assert sum(visits) > 8
        await invariants.hold(world)


async def _look_on(stack: RunningStack, until: float) -> list[Report]:
    reports = []
    while time.monotonic() < until:
        reports.append(await asyncio.to_thread(look_over, stack, 2, 0.5))
    return reports


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
