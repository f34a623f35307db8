"""What is ordered goes in memory to the worker that runs here, and is never lost with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from petpro_common.db import Database
from petpro_common.testing import eventually
from petpro_payment import store_errands
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.errands import Errands, Item
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PENDING, SUCCEEDED, WAITING, Sale, World

_NOTHING: Callable[[], None] = lambda: None  # noqa: E731
_CLAIMED = "SELECT status, attempts, due_at > now() + interval '50 s' AS is_on_lease FROM "


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    runner = asyncio.create_task(world.runner.run())
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        runner.cancel()
        with suppress(asyncio.CancelledError):
            await runner


async def comes_to_rest(world: World) -> None:
    async def nothing_waits() -> bool:
        return not await world.rows(WAITING)

    await eventually(nothing_waits)


async def test_what_is_ordered_here_needs_no_claim(
    world: World, provider: PlayedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claim(_: Database, __: float, ___: int) -> tuple[list[Item], None]:
        return [], None

    monkeypatch.setattr(store_errands, "claim", claim)
    sale = Sale()
    async with running(world):
        assert (await world.order(sale.take())).outcome == PENDING
        await comes_to_rest(world)
        assert (await world.order(sale.fee())).outcome == SUCCEEDED
        said = await world.order_along(sale.reserve("250000"), sale.refund_entry(), sale.submit())
        assert [each.outcome for each in said[:2]] == [SUCCEEDED, SUCCEEDED]
        await eventually(lambda: bool(provider.refunds))
    payment, [refund] = await world.payment(sale), await world.refunds(sale)
    assert (payment.attempts, refund.attempts, refund.command_id is not None) == (1, 1, True)
    assert provider.charges == [sale.payment_id]


async def test_what_is_lost_with_the_process_is_due_after_its_lease(world: World, provider: PlayedProvider) -> None:
    world.runner.errands.serve(lambda: 8, _NOTHING)
    sale = Sale()
    await world.order(sale.take())
    assert [tuple(row) for row in await world.rows(_CLAIMED + "payments")] == [("processing", 1, True)]
    assert await world.worker().round() == 0
    await world.one_step()
    assert (await world.payment(sale)).status is PaymentStatus.SUCCESS

    await world.order(sale.fee())
    await world.order_along(sale.reserve("250000"), sale.refund_entry(), sale.submit())
    assert [tuple(row) for row in await world.rows(_CLAIMED + "refunds")] == [("submitted", 1, True)]
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    [refund] = await world.refunds(sale)
    assert refund.status is RefundStatus.SUCCEEDED
    assert (len(provider.charges), len(provider.refunds)) == (1, 1)


async def test_what_finds_no_room_is_due_at_once(world: World) -> None:
    world.runner.errands.serve(lambda: 1, _NOTHING)
    for _ in range(2):
        await world.order(Sale().take())
    rows = await world.rows(_CLAIMED + "payments ORDER BY attempts")
    assert [tuple(row) for row in rows] == [("pending", 0, False), ("processing", 1, True)]
    assert await world.worker().round() == 1


async def test_a_batch_claims_as_many_as_there_is_room_for(world: World) -> None:
    """And the rest is due at once, for whoever has a place."""
    world.runner.errands.serve(lambda: 16, _NOTHING)
    await world.order_together(*([Sale().take()] for _ in range(64)))
    rows = await world.rows(f"{_CLAIMED} payments ORDER BY attempts")
    assert [tuple(row) for row in rows] == [("pending", 0, False)] * 48 + [("processing", 1, True)] * 16
    assert world.runner.errands.room == 0


async def test_what_a_batch_claims_of_one_kind_leaves_less_room_to_the_other(world: World) -> None:
    paid = [await world.paid(Sale()) for _ in range(3)]
    world.runner.errands.serve(lambda: 2, _NOTHING)
    refunds = ([sale.reserve("250000"), sale.refund_entry(), sale.submit()] for sale in paid)
    await world.order_together([Sale().take()], *refunds)
    claimed = "WHERE attempts = 1 AND due_at > now() + interval '50 s'"
    assert len(await world.rows(f"SELECT FROM payments {claimed}")) == 1
    assert len(await world.rows(f"SELECT FROM refunds {claimed}")) == 1
    assert len(await world.rows("SELECT FROM refunds WHERE attempts = 0 AND due_at <= now()")) == 2


async def test_what_comes_too_late_is_left(world: World) -> None:
    slow = Errands(lease_seconds=0.1)
    payment = await world.payment(await world.paid(Sale()))
    async with world.database.transaction() as tx:
        slow.hand_over(tx, [payment])
    assert slow.are_waiting
    await asyncio.sleep(0.05)
    assert list(slow.in_time(8)) == []
    assert slow.left() == [payment]
    assert slow.left() == []


async def test_what_is_rolled_back_is_not_handed_over(world: World) -> None:
    errands = Errands(lease_seconds=60.0)
    payment = await world.payment(await world.paid(Sale()))
    with suppress(LookupError):
        async with world.database.transaction() as tx:
            errands.hand_over(tx, [payment])
            raise LookupError
    async with world.database.transaction() as tx:
        errands.hand_over(tx, [payment])
        assert list(errands.in_time(8)) == []
    assert list(errands.in_time(8)) == [payment]
