"""What comes at the same time shares a transaction, and each has its own outcome."""

import asyncio
from decimal import Decimal

from sqlalchemy import text

from petpro.payment.v1.commands_pb2 import SubmitRefund
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_payment import refunds
from petpro_payment.domain import Disposition, Payment, PaymentStatus, Refund, RefundStatus
from petpro_payment.outcomes import RefundSucceeded
from petpro_payment.under_lock import UnderLock
from services.payment.tests.world import PENDING, SUCCEEDED, Sale, World

_TRANSACTION = text("SELECT pg_current_xact_id()::text")
Found = tuple[Payment, Refund] | None


class Odd(Exception):
    """A fault of one piece of work."""


async def taken_on(world: World, count: int) -> list[Sale]:
    """Paid sales, each with a refund that is on its way, and whose saga waits for it."""
    sales = [await world.paid(Sale()) for _ in range(count)]
    for sale in sales:
        assert (await world.order(sale.reserve("100000"))).outcome == SUCCEEDED
        assert (await world.order(sale.submit())).outcome == PENDING
    return sales


async def succeed(tx: Transaction, found: Found, _: bool) -> Disposition:
    assert found is not None
    return refunds.learn(tx, *found, RefundSucceeded(f"re-{found[1].id}"))


async def fail(tx: Transaction, found: Found, _: bool) -> Disposition:
    await succeed(tx, found, _)
    raise Odd


async def test_what_is_at_hand_shares_a_transaction(world: World) -> None:
    transactions = []

    async def note_transaction(tx: Transaction, _: object, __: bool) -> Disposition:
        transactions.append((await tx.execute(_TRANSACTION)).scalar_one())
        return Disposition.IGNORED

    first, second = new_id(), new_id()
    await asyncio.gather(*(world.under_lock.on_refund(id_, note_transaction) for id_ in (first, second, first)))
    assert len(set(transactions)) == 1
    await asyncio.gather(*(world.under_lock.on_payment(id_, note_transaction) for id_ in (first, second, first)))
    assert (len(transactions), len(set(transactions))) == (6, 2)


async def test_what_is_about_one_refund_is_done_in_turn(world: World) -> None:
    [sale] = await taken_on(world, 1)
    seen: list[tuple[RefundStatus, bool]] = []

    async def look_and_succeed(tx: Transaction, found: Found, is_known: bool) -> Disposition:
        assert found is not None
        seen.append((found[1].status, is_known))
        return await succeed(tx, found, is_known)

    event = ("sandbox", "evt-1")
    learned = await asyncio.gather(*(world.under_lock.on_refund(sale.refund_id, look_and_succeed, event) for _ in "ab"))
    assert learned == [Disposition.APPLIED, Disposition.IGNORED]
    assert seen == [(RefundStatus.SUBMITTED, False), (RefundStatus.SUCCEEDED, True)]
    assert (await world.payment(sale)).refund_done == Decimal(100000)
    assert (await world.answer(sale.submit())).outcome == SUCCEEDED


async def test_refunds_that_succeed_at_once_answer_their_own_sagas(world: World) -> None:
    sales = await taken_on(world, 5)
    learned = await asyncio.gather(*(world.under_lock.on_refund(sale.refund_id, succeed) for sale in sales))
    assert set(learned) == {Disposition.APPLIED}
    for sale in sales:
        assert (await world.answer(sale.submit())).outcome == SUCCEEDED
        [refund] = await world.refunds(sale)
        assert (refund.status, refund.external_reference) == (RefundStatus.SUCCEEDED, f"re-{sale.refund_id}")
        assert (await world.payment(sale)).refund_done == Decimal(100000)


async def test_what_raises_takes_nothing_from_the_others(world: World) -> None:
    sales = await taken_on(world, 3)
    work = [succeed, fail, succeed]
    learned = await asyncio.gather(
        *(world.under_lock.on_refund(sale.refund_id, each) for sale, each in zip(sales, work, strict=True)),
        return_exceptions=True,
    )
    assert [learned[0], type(learned[1]), learned[2]] == [Disposition.APPLIED, Odd, Disposition.APPLIED]
    found = [(await world.refunds(sale))[0].status for sale in sales]
    assert found == [RefundStatus.SUCCEEDED, RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED]
    assert [(await world.answer(sale.submit())).outcome for sale in sales] == [SUCCEEDED, PENDING, SUCCEEDED]


async def test_two_refunds_of_one_payment_see_each_other(world: World) -> None:
    [sale], other = await taken_on(world, 1), new_id()
    await world.order(sale.reserve("150000", other))
    await world.order(SubmitRefund(refund_id=str(other)))
    seen: list[tuple[Decimal, PaymentStatus]] = []

    async def look_and_succeed(tx: Transaction, found: Found, is_known: bool) -> Disposition:
        assert found is not None
        seen.append((found[0].refund_done, found[0].status))
        return await succeed(tx, found, is_known)

    await asyncio.gather(*(world.under_lock.on_refund(id_, look_and_succeed) for id_ in (sale.refund_id, other)))
    assert seen[0] == (Decimal(0), PaymentStatus.SUCCESS)
    assert seen[1][1] is PaymentStatus.PARTIALLY_REFUNDED
    paid = await world.payment(sale)
    assert (paid.status, paid.refund_done, paid.refund_reserved) == (
        PaymentStatus.REFUNDED,
        Decimal(250000),
        Decimal(0),
    )


async def test_replicas_wait_for_each_other(world: World) -> None:
    [sale] = await taken_on(world, 1)
    replicas = [UnderLock(world.database) for _ in range(8)]
    learned = await asyncio.gather(*(each.on_refund(sale.refund_id, succeed) for each in replicas))
    assert sorted(learned) == sorted([Disposition.APPLIED, *[Disposition.IGNORED] * 7])
    assert (await world.payment(sale)).refund_done == Decimal(100000)


async def test_a_payment_that_somebody_keeps_locked_keeps_no_other_waiting(world: World) -> None:
    kept, free = await taken_on(world, 2)
    async with world.database.transaction() as frozen:
        await frozen.execute(text("SELECT FROM payments WHERE id = :id FOR UPDATE"), {"id": kept.payment_id})
        waiting = asyncio.create_task(world.under_lock.on_refund(kept.refund_id, succeed))
        async with asyncio.timeout(3.5):  # who is alone waits for a lock for five
            assert await world.under_lock.on_refund(free.refund_id, succeed) == Disposition.APPLIED
            assert await world.under_lock.on_refund(free.refund_id, succeed) == Disposition.IGNORED
    assert await waiting == Disposition.APPLIED
