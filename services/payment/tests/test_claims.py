"""What is due gets its turn, payments and refunds alike, however many of the other kind are due."""

import asyncio
from contextlib import suppress

import pytest

from petpro_common.db import Database
from petpro_common.testing import eventually
from petpro_payment.asking import Timings
from petpro_payment.domain import Payment
from petpro_payment.errands import Errand, Item
from petpro_payment.outcomes import PaymentOutcome
from petpro_payment.providers.provider import Asked
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import Sale, World

# Each is due as long ago as its number says, in seconds.
_DUE = "UPDATE {} SET due_at = now() - make_interval(secs => :ago) WHERE id = :id"


class FarAway(PlayedProvider):
    """Takes as long as a call over the net."""

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        await asyncio.sleep(0.2)
        return await super().find_payment(asked)


async def refunded(world: World, number: int) -> list[Sale]:
    """Sales whose refunds are to be made."""
    sales = [await world.paid(Sale()) for _ in range(number)]
    await world.order_together(*([sale.reserve("1000.00"), sale.refund_entry(), sale.submit()] for sale in sales))
    return sales


def about(items: list[Item]) -> set[object]:
    assert all(isinstance(item, Payment | Errand) for item in items)
    return {item.refund.id if isinstance(item, Errand) else item.id for item in items}


async def test_what_has_been_due_for_longest_is_claimed_first_of_whatever_kind(world: World) -> None:
    early, late = await refunded(world, 2)
    first, last = Sale(), Sale()
    await world.order_together([first.take()], [last.take()])
    for ago, sale in ((40, first), (20, last)):
        await world.run(_DUE.format("payments"), ago=ago, id=sale.payment_id)
    for ago, sale in ((30, early), (10, late)):
        await world.run(_DUE.format("refunds"), ago=ago, id=sale.refund_id)
    in_order = [first.payment_id, early.refund_id, last.payment_id, late.refund_id]
    for each in in_order[:2]:
        assert about(await world.worker().claim(1)) == {each}
    assert about(await world.worker().claim(16)) == set(in_order[2:])
    assert await world.worker().claim(16) == []


async def test_more_payments_than_there_are_places_stop_no_refund(pool: Database) -> None:
    """A hundred customers have not paid yet, and each is asked about again sooner than its turn comes."""
    provider = FarAway()
    timings = Timings(lease=30.0, not_found_grace=0.3, poll=0.02, poll_limit=0.5, put_off=0.05)
    world = World(pool, {"played": provider}, "played")
    sale = await world.paid(Sale())
    provider.waits_for_customer = True
    await world.order_together(*([Sale().take(within=3600)] for _ in range(60)))
    await world.order_together(*([Sale().take(within=3600)] for _ in range(40)))
    worker = world.worker(timings)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.sleep(2)
        await world.order_along(sale.reserve("1000.00"), sale.refund_entry(), sale.submit())
        await eventually(lambda: sale.refund_id in provider.refunds, seconds=20.0)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("others", [0, 3])
async def test_two_workers_never_claim_the_same(world: World, others: int) -> None:
    sales = await refunded(world, 3)
    await world.order_together(*([Sale().take()] for _ in range(3 + others)))
    claimed = [set(items) for items in map(about, await asyncio.gather(*(world.worker().claim(3) for _ in range(4))))]
    left = about(await world.worker().claim(16))
    all_claimed = [each for items in (*claimed, left) for each in items]
    assert len(all_claimed) == len(set(all_claimed)) == 6 + others
    assert {sale.refund_id for sale in sales} <= set(all_claimed)
