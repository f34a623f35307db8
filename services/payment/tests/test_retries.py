"""A refund that its provider has not paid, tried again there: under its own id, by a new key, and never two moneys."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from grpc import aio
from psycopg import IntegrityError
from structlog.testing import capture_logs

from petpro_common.db import Transaction
from petpro_common.testing import reason_of
from petpro_payment import refunds
from petpro_payment.domain import Disposition, Payment, Refund, RefundStatus
from petpro_payment.outcomes import RefundAccepted, RefundFailed, RefundOutcome, RefundSucceeded
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.test_journal import balances
from services.payment.tests.test_money_queue import stuck
from services.payment.tests.test_refund_states import reversed_
from services.payment.tests.world import PENDING, SUCCEEDED, Sale, World


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(world, tmp_path) as desk:
        yield desk


async def status_of(world: World, sale: Sale) -> RefundStatus:
    (refund,) = await world.refunds(sale)
    return refund.status


async def test_what_was_refused_goes_through_when_it_is_tried_again(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await stuck(world, provider)
    provider.refuses_refunds = False
    foreseen = await desk.retry(sale.refund_id, dry_run=True)
    assert await status_of(world, sale) is RefundStatus.MANUAL
    done = await desk.retry(sale.refund_id)
    assert foreseen.refund.status == done.refund.status
    assert provider.refused == {str(sale.refund_id)}
    await world.one_step()
    assert (await world.answer(sale.settle())).outcome == PENDING
    provider.send_back(sale.refund_id)
    await world.work()
    assert (await world.answer(sale.settle())).outcome == SUCCEEDED
    assert list(provider.refunds) == [sale.refund_id]
    assert await balances(world, sale) == {}
    [kept] = await world.rows("SELECT * FROM money_operations")
    assert (kept.operator, kept.verb, kept.reason) == (str(desk.admin), "retry_refund", "funds are there")


async def test_its_booking_is_told_that_it_waits_no_more(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await stuck(world, provider)
    provider.refuses_refunds = False
    await desk.retry(sale.refund_id)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    told = await world.rows("SELECT payload FROM outbox WHERE subject = 'petpro.events.refund.succeeded'")
    assert [orjson.loads(bytes(row.payload))["status_before"] for row in told] == ["manual"]


async def test_a_lost_answer_to_a_retry_leads_to_one_refund(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await stuck(world, provider)
    provider.refuses_refunds, provider.mute = False, True
    await desk.retry(sale.refund_id)
    await world.one_step()
    assert await status_of(world, sale) is RefundStatus.UNKNOWN
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.pay_out(sale.refund_id)
    assert reason_of(refused.value) == "REFUND_NOT_MANUAL"
    provider.mute = False
    provider.send_back(sale.refund_id)
    await world.work()
    assert list(provider.refunds) == [sale.refund_id]
    assert await status_of(world, sale) is RefundStatus.SUCCEEDED


async def test_what_is_refused_again_waits_again_and_has_a_new_key_each_time(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await stuck(world, provider)
    for _ in range(2):
        await desk.retry(sale.refund_id)
        await world.work()
        assert await status_of(world, sale) is RefundStatus.MANUAL
    assert provider.refused == {str(sale.refund_id), f"{sale.refund_id}:1", f"{sale.refund_id}:2"}
    assert (await world.payment(sale)).refund_reserved == 250000


async def test_a_retry_and_a_payout_at_once_are_one(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await stuck(world, provider)
    provider.refuses_refunds = False
    both = (desk.retry(sale.refund_id), desk.pay_out(sale.refund_id))
    told = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(each, aio.AioRpcError) for each in told) == 1
    await world.one_step()
    (operation,) = await world.rows("SELECT verb FROM money_operations")
    assert len(provider.refunds) == (operation.verb == "retry_refund")


async def failed(world: World, provider: PlayedProvider) -> Sale:
    """A sale whose refund the provider had taken on, and that failed there."""
    sale = await world.paid(Sale())
    for order in (sale.reserve("250000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await world.order(order)
    await world.one_step()
    provider.fail(sale.refund_id)
    await world.one_step()
    assert await status_of(world, sale) is RefundStatus.MANUAL
    return sale


async def test_what_failed_at_the_provider_goes_through_when_it_is_tried_again(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    """By its id the provider finds the attempt that failed, and is asked for another. Late words on the first come."""
    sale = await failed(world, provider)
    (before,) = await world.refunds(sale)
    over = RefundFailed(before.external_reference or "", "account_closed")
    await desk.retry(sale.refund_id)
    for status in (RefundStatus.PENDING, RefundStatus.SUCCEEDED):
        await world.worker().record_refund(before, over)
        await world.one_step()
        assert await status_of(world, sale) is status
        provider.send_back(sale.refund_id)
    await world.worker().record_refund(before, over)
    (refund,) = await world.refunds(sale)
    assert (refund.status, refund.external_reference) == (RefundStatus.SUCCEEDED, f"re_{sale.refund_id}:1")
    assert (await world.answer(sale.settle())).outcome == SUCCEEDED
    assert await balances(world, sale) == {}


async def test_what_fails_again_waits_again(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await failed(world, provider)
    for attempt in (1, 2):
        await desk.retry(sale.refund_id)
        await world.one_step()
        provider.fail(sale.refund_id)
        await world.one_step()
        (refund,) = await world.refunds(sale)
        assert (refund.status, refund.external_reference) == (RefundStatus.MANUAL, f"re_{sale.refund_id}:{attempt}")


async def tell(world: World, sale: Sale, told: RefundOutcome) -> Disposition:
    """What a provider's own word on a refund does, whenever that is delivered."""

    async def learn(tx: Transaction, found: tuple[Payment, Refund] | None, _: bool) -> Disposition:
        assert found is not None
        return refunds.learn(tx, *found, told)

    return await world.under_lock.on_refund(sale.refund_id, learn)


async def overtaken(world: World, provider: PlayedProvider, desk: Desk) -> tuple[Sale, str]:
    """A sale whose refund has failed and is to be tried again, and the provider's name for what failed."""
    sale = await failed(world, provider)
    (before,) = await world.refunds(sale)
    await desk.retry(sale.refund_id)
    return sale, before.external_reference or ""


@pytest.mark.parametrize("word", [RefundAccepted, RefundSucceeded])
@pytest.mark.parametrize("weather", ["none", "deaf", "mute", "puts_refunds_off"])
async def test_a_late_word_of_what_had_failed_ends_no_attempt_after_it(
    world: World, provider: PlayedProvider, desk: Desk, word: type[RefundAccepted | RefundSucceeded], weather: str
) -> None:
    """The customer would have had nothing, and nobody would have been told."""
    sale, name = await overtaken(world, provider, desk)
    if weather != "none":
        setattr(provider, weather, True)
    await world.one_step()
    before = await status_of(world, sale)
    assert await tell(world, sale, word(name)) is Disposition.IGNORED
    assert await status_of(world, sale) is before
    if weather != "none":
        setattr(provider, weather, False)
    await world.one_step()
    assert await status_of(world, sale) is RefundStatus.PENDING
    provider.fail(sale.refund_id)
    await world.one_step()
    assert await status_of(world, sale) is RefundStatus.MANUAL
    assert (await world.answer(sale.settle())).outcome == PENDING


async def test_words_of_all_that_failed_before_are_late(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale, first = await overtaken(world, provider, desk)
    await world.one_step()
    second = provider.fail(sale.refund_id).external_reference
    await world.one_step()
    await desk.retry(sale.refund_id)
    for _ in ("submitted", "pending"):
        for name in (first, second):
            for told in (RefundSucceeded(name), RefundFailed(name, "account_closed")):
                assert await tell(world, sale, told) is Disposition.IGNORED
        await world.one_step()
    (refund,) = await world.refunds(sale)
    assert (refund.status, refund.failed_references) == (RefundStatus.PENDING, [first, second])


async def test_what_its_provider_makes_after_all_is_not_ordered_once_more(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    """It says so now, as it is asked before anything is ordered; and what it says of that then holds."""
    sale, name = await overtaken(world, provider, desk)
    provider.refunds[sale.refund_id] = RefundAccepted(name)
    await world.one_step()
    (refund,) = await world.refunds(sale)
    assert (refund.status, refund.external_reference) == (RefundStatus.PENDING, name)
    provider.fail(sale.refund_id)
    await world.one_step()
    assert await status_of(world, sale) is RefundStatus.MANUAL


async def test_an_answer_from_before_it_was_tried_again_is_late_too(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await failed(world, provider)
    (before,) = await world.refunds(sale)
    await desk.retry(sale.refund_id)
    await world.worker().record_refund(before, RefundSucceeded(before.external_reference or ""))
    assert await status_of(world, sale) is RefundStatus.SUBMITTED


async def test_an_attempt_that_the_provider_makes_after_all_raises_an_alarm(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await failed(world, provider)
    (before,) = await world.refunds(sale)
    with capture_logs() as said:
        for external in (before.external_reference or "", "re_another"):
            await world.worker().record_refund(before, RefundSucceeded(external))
    assert [line["event"] for line in said if line["log_level"] == "error"] == ["provider makes a refund after all"]


async def test_what_the_bank_sent_back_is_paid_out_and_not_tried_again(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await reversed_(world, provider)
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.retry(sale.refund_id)
    assert reason_of(refused.value) == "REFUND_NOT_RETRIABLE"
    as_it_were = "UPDATE refunds SET status = 'submitted', retries = retries + 1 WHERE id = :id"
    with pytest.raises(IntegrityError, match="never paid"):
        await world.run(as_it_were, id=sale.refund_id)


async def test_what_the_provider_cannot_make_is_not_sent_there(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await stuck(world, provider)
    await world.run("UPDATE payments SET payment_method = 'virtual_account'")
    for dry_run in (True, False):
        with pytest.raises(aio.AioRpcError) as refused:
            await desk.retry(sale.refund_id, dry_run=dry_run)
        assert reason_of(refused.value) == "REFUND_NOT_RETRIABLE"
    assert await world.rows("SELECT FROM money_operations") == []
