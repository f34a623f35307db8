"""Commands that are at hand together, and words of providers: they never wait for each other in a circle."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from petpro_common.testing import eventually
from petpro_payment import payments, store
from petpro_payment.outcomes import Captured
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import SUCCEEDED, Sale, World

_LOCK = text("SELECT FROM payments WHERE id = :id FOR UPDATE")
_LATER = "UPDATE payments SET due_at = now() + interval '1 hour' WHERE id = :id"


async def two_sales() -> tuple[Sale, Sale]:
    low, high = sorted([Sale(), Sale()], key=lambda sale: sale.payment_id)
    return low, high


async def are_captured(world: World, sales: Sequence[Sale]) -> None:
    """What a provider says of payments, in one transaction."""
    async with world.database.transaction() as tx:
        found = await store.lock_payments(tx, [sale.payment_id for sale in sales])
        for sale in sales:
            outcome = Captured(f"pi_{sale.payment_id}", sale.price, datetime.now(UTC))
            await payments.learn(tx, found[sale.payment_id], outcome)


async def one_after_the_other(world: World, locked: UUID, *works: Coroutine[Any, Any, None]) -> None:
    """Has each begin while somebody has locked a payment and the one before it waits. Raises what they do."""
    begun = []
    async with world.database.transaction() as tx:
        await tx.execute(_LOCK, {"id": locked})
        for work in works:
            begun.append(asyncio.create_task(work))
            await eventually(world.somebody_waits)
            await asyncio.sleep(0.2)
    await asyncio.gather(*begun)


async def test_a_copy_of_a_pending_order_and_the_word_that_answers_it(world: World, provider: PlayedProvider) -> None:
    waits, done = await two_sales()
    provider.waits_for_customer = True
    await world.order(waits.take())
    await world.worker().round()
    provider.waits_for_customer = False
    await world.run(_LATER, id=waits.payment_id)
    await world.order(done.take())
    await world.worker().round()
    both = are_captured(world, [waits, done]), world.order_together([waits.take()], [done.fee()])
    await one_after_the_other(world, done.payment_id, *both)
    assert (await world.answer(waits.take())).outcome == SUCCEEDED
    assert (await world.answer(done.fee())).outcome == SUCCEEDED
