"""What a refund's status says beyond the version before: unknown, and reversed. That version serves on beside it."""

from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path

import pytest
from psycopg import IntegrityError

from petpro.payment.v1.payment_pb2 import REFUND_STATUS_MANUAL, REFUND_STATUS_REVERSED, REFUND_STATUS_UNKNOWN
from petpro_payment.domain import RefundStatus
from petpro_payment.outcomes import RefundFailed
from petpro_payment.waiting import OLDEST_SECONDS, WAITING, count
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.test_money_queue import stuck
from services.payment.tests.world import Sale, World

STEPS = {
    "reserved": {"submitted", "released"},
    "submitted": {"pending", "succeeded", "refused", "manual"},
    "pending": {"succeeded", "manual"},
    "succeeded": {"manual"},
    "manual": {"succeeded", "submitted"},
    "refused": set(),
    "released": set(),
}
FORBIDDEN = [(before, after) for before in STEPS for after in STEPS if after not in STEPS[before] | {before}]


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(world, tmp_path) as desk:
        yield desk


async def reversed_(world: World, provider: PlayedProvider) -> Sale:
    """A sale that was given back, and whose money the bank has sent back."""
    sale = await world.paid(Sale())
    for order in (sale.reserve("250000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    (gone,) = await world.refunds(sale)
    await world.worker().record_refund(gone, RefundFailed("re", "account_closed"))
    return sale


async def unknown(world: World, provider: PlayedProvider) -> Sale:
    sale = await world.paid(Sale())
    for order in (sale.reserve("1000"), sale.submit()):
        await world.order(order)
    provider.mute, provider.refuses_refunds = True, False
    await world.one_step()
    provider.mute = False
    return sale


async def test_each_status_is_listed_by_itself(world: World, provider: PlayedProvider, desk: Desk) -> None:
    back, refused = await reversed_(world, provider), await stuck(world, provider)
    open_ = await unknown(world, provider)
    listed = {
        status: [each.refund.id for each in await desk.waiting(status=status)]
        for status in (0, REFUND_STATUS_REVERSED, REFUND_STATUS_MANUAL, REFUND_STATUS_UNKNOWN)
    }
    assert listed == {
        0: [str(back.refund_id), str(refused.refund_id)],
        REFUND_STATUS_REVERSED: [str(back.refund_id)],
        REFUND_STATUS_MANUAL: [str(refused.refund_id)],
        REFUND_STATUS_UNKNOWN: [str(open_.refund_id)],
    }
    [waiting] = await desk.waiting(status=REFUND_STATUS_UNKNOWN)
    [row] = await world.rows("SELECT unknown_since FROM refunds WHERE id = :id", id=open_.refund_id)
    assert waiting.waits_since.ToDatetime(UTC) == row.unknown_since
    assert waiting.refund.status == REFUND_STATUS_UNKNOWN


async def test_each_is_counted_with_its_age(world: World, provider: PlayedProvider) -> None:
    await reversed_(world, provider)
    await stuck(world, provider)
    await unknown(world, provider)
    await count(world.database)
    whats = ("refund for a person", "reversed refund", "refund of unknown outcome")
    assert [WAITING.labels(what)._value.get() for what in whats] == [2, 1, 1]
    assert all(0 < OLDEST_SECONDS.labels(what)._value.get() < 60 for what in whats)


async def test_what_is_reversed_is_so_until_a_person_has_paid_it(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await reversed_(world, provider)
    foreseen = await desk.pay_out(sale.refund_id, dry_run=True)
    done = await desk.pay_out(sale.refund_id)
    assert foreseen.refund.status == done.refund.status
    (refund,) = await world.refunds(sale)
    assert refund.status is RefundStatus.SUCCEEDED
    assert await desk.waiting() == []


async def test_the_version_before_reads_and_writes_beside_this_one(world: World, provider: PlayedProvider) -> None:
    """It knows seven statuses: those are all that it finds. What it writes is read as if this one had written it."""
    sales = [await reversed_(world, provider), await unknown(world, provider)]
    found = await world.rows("SELECT status FROM refunds ORDER BY status")
    assert [row.status for row in found] == ["manual", "submitted"]

    as_it_does = "UPDATE refunds SET status = :to, due_at = NULL, updated_at = clock_timestamp() WHERE id = :id"
    for to, state in (("succeeded", "succeeded"), ("manual", "reversed")):
        for sale in sales:
            await world.run(as_it_does, id=sale.refund_id, to=to)
            (refund,) = await world.refunds(sale)
            assert refund.status == state
    assert await world.rows("SELECT FROM refunds WHERE unknown_since IS NOT NULL") == []


async def test_a_refund_takes_no_other_step(world: World) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("1000"))
    for before, after in FORBIDDEN:
        await world.run("ALTER TABLE refunds DISABLE TRIGGER step_refund")
        await world.run("UPDATE refunds SET status = :before", before=before)
        await world.run("ALTER TABLE refunds ENABLE TRIGGER step_refund")
        with pytest.raises(IntegrityError, match=f"a {before} refund does not become {after}"):
            await world.run("UPDATE refunds SET status = :after", after=after)
