"""A refund that its provider puts off: it waits, under a new key each time, and is neither unknown nor a person's."""

from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from petpro.payment.v1.payment_pb2 import REFUND_STATUS_UNKNOWN, REFUND_STATUS_WAITING
from petpro_payment import metrics
from petpro_payment.asking import Timings
from petpro_payment.domain import Refund, RefundStatus
from petpro_payment.waiting import WAITING, count
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PENDING, SUCCEEDED, Sale, World


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(world, tmp_path) as desk:
        yield desk


async def put_off(world: World, provider: PlayedProvider) -> Sale:
    sale = await world.paid(Sale())
    provider.puts_refunds_off = True
    for order in (sale.reserve("250000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await world.order(order)
    await world.one_step()
    return sale


async def refund_of(world: World, sale: Sale) -> Refund:
    (refund,) = await world.refunds(sale)
    return refund


async def test_it_goes_through_under_a_new_key_once_it_can(world: World, provider: PlayedProvider) -> None:
    sale = await put_off(world, provider)
    await world.one_step()
    assert (await world.answer(sale.submit())).outcome == PENDING
    provider.puts_refunds_off = False
    await world.one_step()
    assert provider.put_off == {str(sale.refund_id), f"{sale.refund_id}:1"}
    provider.send_back(sale.refund_id)
    await world.work()
    refund = await refund_of(world, sale)
    assert (refund.status, refund.retries, refund.failure_reason) == (RefundStatus.SUCCEEDED, 0, None)
    assert (await world.answer(sale.settle())).outcome == SUCCEEDED
    assert await world.events(sale) == ["payment.captured", "refund.submitted", "refund.succeeded"]


async def test_a_lost_answer_under_the_new_key_leads_to_one_refund(world: World, provider: PlayedProvider) -> None:
    sale = await put_off(world, provider)
    provider.puts_refunds_off, provider.mute = False, True
    await world.one_step()
    assert (await refund_of(world, sale)).status is RefundStatus.UNKNOWN
    provider.mute = False
    await world.one_step()
    assert (await refund_of(world, sale)).status is RefundStatus.PENDING
    assert list(provider.refunds) == [sale.refund_id]


async def test_it_is_listed_as_waiting_with_the_provider_s_word(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await put_off(world, provider)
    since = await desk.waiting(status=REFUND_STATUS_WAITING)
    await world.one_step()
    (waiting,) = await desk.waiting(status=REFUND_STATUS_WAITING)
    assert (waiting.refund.id, waiting.failure_reason) == (str(sale.refund_id), "balance too low")
    assert waiting.refund.status == REFUND_STATUS_WAITING
    assert [each.waits_since for each in since] == [waiting.waits_since]
    assert [await desk.waiting(status=status) for status in (0, REFUND_STATUS_UNKNOWN)] == [[], []]
    await count(world.database)
    whats = ("refund put off", "refund of unknown outcome", "refund for a person")
    assert [WAITING.labels(what)._value.get() for what in whats] == [1, 0, 0]


async def test_it_counts_as_no_unknown_outcome_and_is_kept_once(world: World, provider: PlayedProvider) -> None:
    before = metrics.UNKNOWN_OUTCOMES.labels("played")._value.get()
    await put_off(world, provider)
    await world.one_step()
    assert metrics.UNKNOWN_OUTCOMES.labels("played")._value.get() == before
    assert [row.type for row in await world.rows("SELECT type FROM provider_events WHERE type LIKE 'Refund%'")] == [
        "RefundLater"
    ]


async def test_it_is_looked_at_again_after_ten_minutes_or_more(world: World, provider: PlayedProvider) -> None:
    sale = await put_off(world, provider)
    await world.one_step(Timings())
    [row] = await world.rows("SELECT due_at - now() AS pause FROM refunds WHERE id = :id", id=sale.refund_id)
    assert timedelta(minutes=9.9) < row.pause <= timedelta(minutes=15)


async def test_the_version_before_reads_and_writes_beside_this_one(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    """It does not know that a refund waits: to it that is submitted, and may become unknown as ever."""
    sale = await put_off(world, provider)
    [row] = await world.rows("SELECT status, state, waiting_since FROM refunds WHERE id = :id", id=sale.refund_id)
    assert (row.status, row.state) == ("submitted", "submitted")
    as_it_does = "UPDATE refunds SET unknown_since = clock_timestamp() WHERE id = :id"
    await world.run(as_it_does, id=sale.refund_id)
    assert (await refund_of(world, sale)).status is RefundStatus.UNKNOWN
    assert await desk.waiting(status=REFUND_STATUS_WAITING) == []
    await world.one_step()
    (waiting,) = await desk.waiting(status=REFUND_STATUS_WAITING)
    assert waiting.waits_since.ToDatetime(UTC) == row.waiting_since
    await world.run("UPDATE refunds SET status = 'pending' WHERE id = :id", id=sale.refund_id)
    assert (await refund_of(world, sale)).status is RefundStatus.PENDING
    assert await desk.waiting(status=REFUND_STATUS_WAITING) == []
