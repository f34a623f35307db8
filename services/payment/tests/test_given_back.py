"""What was handed over to a worker that has no place for it: it is asked about here in its turn, or given back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from psycopg import OperationalError

from petpro_common import tasks
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from petpro_payment import messages, payments, refunds, store, store_errands, store_refunds
from petpro_payment.domain import Payment, PaymentStatus
from petpro_payment.outcomes import PaymentOutcome, RefundOutcome
from petpro_payment.providers.provider import PaymentOrder, RefundOrder
from petpro_payment.refunds import Submission
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PENDING, QUICK, SUCCEEDED, Sale, World

AT_ONCE = 16
STANDING = "SELECT status, attempts FROM payments ORDER BY attempts, status"
GIVEN_BACK = "SELECT FROM payments WHERE status = 'pending' AND attempts = 0 AND asked_at IS NULL AND due_at <= now()"


@dataclass
class HeldProvider(PlayedProvider):
    """It answers orders that came while it `holds` as it is let."""

    holds: bool = False
    asked: list[UUID] = field(default_factory=list)
    answers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        await self._hold(order.reference)
        return await super().create_payment(order)

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        await self._hold(order.reference)
        return await super().create_refund(order)

    async def _hold(self, reference: UUID) -> None:
        self.asked.append(reference)
        if self.holds:
            await self.answers.acquire()

    def answer(self, count: int) -> None:
        for _ in range(count):
            self.answers.release()

    def answer_all(self) -> None:
        self.holds = False
        self.answer(len(self.asked))


@pytest.fixture
def provider() -> HeldProvider:
    return HeldProvider()


@asynccontextmanager
async def with_places(world: World, provider: HeldProvider, free: int) -> AsyncIterator[asyncio.Task[None]]:
    """Runs a worker that waits for its provider in all places but so many."""
    provider.holds = True
    work = asyncio.create_task(world.runner.run())
    try:
        await eventually(lambda: world.runner.errands.room > 0)
        before = len(provider.asked)
        for _ in range(AT_ONCE - free):
            await world.order(Sale().take())
        await eventually(lambda: len(provider.asked) == before + AT_ONCE - free)
        yield work
    finally:
        await tasks.end([work])


async def order_at_the_same_time(world: World, sales: Sequence[Sale]) -> None:
    """By transactions of which none sees what the others claim: there is room for each, and not for all."""
    async with AsyncExitStack() as transactions:
        for sale in sales:
            tx = await transactions.enter_async_context(world.database.transaction())
            ordered = messages.new_payment(sale.take(), f"TakePayment-{sale.payment_id}", "played")
            await payments.take(tx, ordered["command_id"], ordered, world.runner.errands)
    assert len(await world.rows("SELECT FROM payments WHERE attempts = 1")) >= len(sales)


async def waiting(world: World, provider: HeldProvider, count: int) -> list[Sale]:
    """As many that were handed over and found no place, as one more took the last."""
    sales, before = [Sale() for _ in range(count + 1)], len(provider.asked)
    await order_at_the_same_time(world, sales)
    await eventually(lambda: len(provider.asked) == before + 1)
    return [sale for sale in sales if sale.payment_id not in provider.asked]


async def test_who_is_told_to_stop_gives_back_what_it_has_not_begun(world: World, provider: HeldProvider) -> None:
    """While its provider hangs. Others ask about it in the place in the line that it had."""

    async def are_given_back() -> bool:
        return len(await world.rows(GIVEN_BACK)) == 4 + 2

    async with with_places(world, provider, free=1) as work:
        ours = await waiting(world, provider, 4)
        later = [Sale(), Sale()]
        for sale in later:
            await world.order(sale.take())
        world.runner.drain()
        await eventually(are_given_back)
        assert not work.done()
        provider.holds = False
        other = world.worker()
        first = await other.claim(4)
        assert {item.id for item in first if isinstance(item, Payment)} == {sale.payment_id for sale in ours}
        await asyncio.gather(*map(other.step, first))
        assert await other.round() == 2
        provider.answer_all()
        async with asyncio.timeout(30):
            await work
    assert [tuple(row) for row in await world.rows(STANDING)] == [("success", 1)] * (AT_ONCE + 4 + 2)
    assert len(set(provider.charges)) == len(provider.charges) == len(provider.asked) == AT_ONCE + 4 + 2


async def test_refunds_are_given_back_too(world: World, provider: HeldProvider) -> None:
    async def are_given_back() -> bool:
        return len(await world.rows("SELECT FROM refunds WHERE attempts = 0 AND due_at <= now()")) == 2

    sales = [await world.paid(Sale()) for _ in range(3)]
    for sale in sales:
        await world.order(sale.reserve("250000"))
    async with with_places(world, provider, free=1) as work:
        async with AsyncExitStack() as transactions:
            for sale in sales:
                tx = await transactions.enter_async_context(world.database.transaction())
                order = Submission(sale.refund_id, f"SubmitRefund-{sale.refund_id}", must_succeed=False)
                await refunds.submit(tx, [order], world.runner.errands)
        await eventually(lambda: len([sale for sale in sales if sale.refund_id in provider.asked]) == 1)
        world.runner.drain()
        await eventually(are_given_back)
        provider.holds = False
        assert await world.worker().round() == 2
        provider.answer_all()
        await work
    assert sorted(provider.refunds) == sorted(sale.refund_id for sale in sales)
    assert len(provider.asked) == len(set(provider.asked))
    assert {row.attempts for row in await world.rows("SELECT attempts FROM refunds")} == {1}


async def test_what_is_called_off_before_it_is_given_back_is_over_at_once(world: World, provider: HeldProvider) -> None:
    """Nobody was asked, so nothing may still be on its way to the provider."""
    async with with_places(world, provider, free=1) as work:
        [sale] = await waiting(world, provider, 1)
        assert (await world.order(sale.cancel())).outcome == PENDING
        world.runner.drain()
        await eventually(lambda: not world.runner.errands.are_waiting)
        await world.worker(replace(QUICK, not_found_grace=30.0)).round()
        assert (await world.payment(sale)).status is PaymentStatus.CANCELLED
        assert (await world.answer(sale.cancel())).outcome == SUCCEEDED
        provider.answer_all()
        await work
    assert sale.payment_id not in provider.asked


async def test_what_another_claims_meanwhile_is_not_given_back(world: World) -> None:
    """Or a third would ask beside it."""
    world.runner.errands.serve(lambda: 2, lambda: None)
    sales = [Sale(), Sale()]
    await world.order_together(*([sale.take()] for sale in sales))
    await world.run("UPDATE payments SET due_at = now() WHERE id = :id", id=sales[0].payment_id)
    world.runner.errands.close()
    async with world.database.transaction() as other:
        assert len((await other.execute(store_errands._CLAIM, {"lease": 60.0, "limit": 4})).all()) == 1
        giving_back = asyncio.create_task(store_errands.give_back(world.database, world.runner.errands.left()))
        await eventually(world.somebody_waits)
    await giving_back
    assert [tuple(row) for row in await world.rows(STANDING)] == [("pending", 0), ("processing", 2)]


async def test_who_gives_back_payments_and_who_locks_them_do_not_wait_in_a_circle(world: World) -> None:
    world.runner.errands.serve(lambda: 2, lambda: None)
    first, second = sorted((Sale() for _ in range(2)), key=lambda sale: sale.payment_id)
    await world.order_together([second.take()], [first.take()])
    world.runner.errands.close()
    async with world.database.transaction() as other:
        await store.lock_payment(other, first.payment_id)
        giving_back = asyncio.create_task(store_errands.give_back(world.database, world.runner.errands.left()))
        await eventually(world.somebody_waits)
        await store.lock_payment(other, second.payment_id)
    await giving_back
    assert len(await world.rows(GIVEN_BACK)) == 2


async def test_who_gives_back_refunds_and_who_locks_them_do_not_wait_in_a_circle(world: World) -> None:
    """They are locked in the order of their payments, here not that of their own ids."""
    ids = sorted(new_id() for _ in range(4))
    first, second = Sale(payment_id=ids[0], refund_id=ids[3]), Sale(payment_id=ids[1], refund_id=ids[2])
    for sale in (first, second):
        await world.paid(sale)
    world.runner.errands.serve(lambda: 2, lambda: None)
    await world.order_together(
        *([sale.reserve("250000"), sale.refund_entry(), sale.submit()] for sale in (first, second))
    )
    world.runner.errands.close()
    async with world.database.transaction() as other:
        await store_refunds.lock(other, first.refund_id)
        giving_back = asyncio.create_task(store_errands.give_back(world.database, world.runner.errands.left()))
        await eventually(world.somebody_waits)
        await store_refunds.lock(other, second.refund_id)
    await giving_back
    assert len(await world.rows("SELECT FROM refunds WHERE attempts = 0 AND due_at <= now()")) == 2


async def test_what_comes_too_late_is_asked_about_once_there_is_a_place(world: World, provider: HeldProvider) -> None:
    """Not after its lease only, as a second attempt."""
    async with with_places(world, provider, free=1):
        world.runner.errands.lease_seconds = 5.0
        [sale] = await waiting(world, provider, 1)
        await asyncio.sleep(1.2)
        provider.answer_all()
        await eventually(lambda: sale.payment_id in provider.charges)
    assert (await world.payment(sale)).attempts == 1


async def test_what_cannot_be_given_back_is_asked_about_after_its_lease(
    world: World, provider: HeldProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And keeps no other from the place that has become free."""

    async def fail(*_: object) -> None:
        raise OperationalError("the server is away")

    monkeypatch.setattr(store_errands, "give_back", fail)
    async with with_places(world, provider, free=1) as work:
        world.runner.errands.lease_seconds = 3.0
        [sale] = await waiting(world, provider, 1)
        later = Sale()
        await world.order(later.take())
        await asyncio.sleep(1.5)  # longer than the worker rests
        provider.answer(1)
        await eventually(lambda: later.payment_id in provider.asked)
        provider.answer_all()
        await eventually(lambda: sale.payment_id in provider.charges)
        world.runner.drain()
        await work
    assert (await world.payment(sale)).attempts == 2
    assert provider.charges.count(sale.payment_id) == 1


async def test_what_was_handed_over_is_not_passed_by_what_came_later(world: World, provider: HeldProvider) -> None:
    """Nor keeps it from its turn, where places become free one by one."""
    async with with_places(world, provider, free=1):
        [sale] = await waiting(world, provider, 1)
        later = [Sale(), Sale()]
        for each in later:
            await world.order(each.take())
        for next_one in (sale, *later):
            before = len(provider.asked)
            provider.answer(1)
            await eventually(lambda before=before: len(provider.asked) == before + 1)  # type: ignore[misc]
            assert provider.asked[-1] == next_one.payment_id
