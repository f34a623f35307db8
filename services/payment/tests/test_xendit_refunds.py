"""The adapter to Xendit against a contract fake: refunds."""

from collections.abc import AsyncIterator

import pytest

from petpro_common.db import Database
from petpro_payment import refunds
from petpro_payment.domain import Disposition, RefundStatus
from services.payment.tests.fake_xendit import FakeXendit
from services.payment.tests.world import SUCCEEDED, Sale, World
from services.payment.tests.xendit_shop import asked, deliver, open_shop, refund_submitted


@pytest.fixture
def xendit() -> FakeXendit:
    return FakeXendit()


@pytest.fixture
async def shop(pool: Database, xendit: FakeXendit) -> AsyncIterator[World]:
    async with open_shop(pool, xendit) as opened:
        yield opened


async def test_a_refund_from_submission_to_settlement(shop: World, xendit: FakeXendit) -> None:
    sale = await refund_submitted(shop, xendit)
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.PENDING]
    xendit.settle(sale.refund_id)
    assert await deliver(shop, xendit.callbacks[-1]) is Disposition.APPLIED
    assert (await shop.answer(sale.settle())).outcome == SUCCEEDED


async def test_a_refund_whose_answer_was_lost_is_made_once(shop: World, xendit: FakeXendit) -> None:
    xendit.mute = True
    sale = await refund_submitted(shop, xendit)
    xendit.settle(sale.refund_id)
    await shop.work()
    assert len(xendit.refunds) == 1
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.SUCCEEDED]


async def test_a_refund_that_fails_goes_to_a_person(shop: World, xendit: FakeXendit) -> None:
    sale = await refund_submitted(shop, xendit)
    xendit.settle(sale.refund_id, "FAILED")
    await deliver(shop, xendit.callbacks[-1])
    (refund,) = await shop.refunds(sale)
    assert (refund.status, refund.failure_reason) == (RefundStatus.MANUAL, "ACCOUNT_CLOSED")


async def test_a_refund_that_failed_for_now_is_tried_again(shop: World, xendit: FakeXendit) -> None:
    sale = await refund_submitted(shop, xendit)
    for attempt in (1, 2):
        xendit.settle(list(xendit.refunds)[-1], "FAILED", "INSUFFICIENT_BALANCE")
        await deliver(shop, xendit.callbacks[-1])
        async with shop.database.transaction() as tx:
            await refunds.retry(tx, shop.providers, sale.refund_id, dry_run=False)
        await shop.one_step()
        assert len(xendit.refunds) == 1 + attempt
        assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.PENDING]
    xendit.settle(list(xendit.refunds)[-1])
    await shop.work()
    assert (await shop.answer(sale.settle())).outcome == SUCCEEDED


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INELIGIBLE_TRANSACTION_STATUS", RefundStatus.REFUSED),
        ("REFUND_NOT_SUPPORTED", RefundStatus.MANUAL),
        ("INSUFFICIENT_BALANCE", RefundStatus.WAITING),
        ("TEMPORARILY_UNAVAILABLE", RefundStatus.WAITING),
        ("REFUND_IN_PROGRESS", RefundStatus.WAITING),
    ],
)
async def test_refusals_that_are_for_good_and_for_now(
    shop: World, xendit: FakeXendit, code: str, status: RefundStatus
) -> None:
    xendit.refuses = code
    sale = await refund_submitted(shop, xendit)
    assert [refund.status for refund in await shop.refunds(sale)] == [status]


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("REFUND_NOT_SUPPORTED", "METHOD_NOT_REFUNDABLE"),
        ("PARTIAL_REFUND_NOT_SUPPORTED", "NO_PARTIAL_REFUNDS"),
        ("PARTIAL_REFUND_COUNTS_EXCEEDED", "NO_PARTIAL_REFUNDS"),
        ("INELIGIBLE_TRANSACTION", "REFUND_WINDOW_OVER"),
    ],
)
async def test_what_it_cannot_give_back_lets_the_customer_cancel_and_waits_for_a_person(
    shop: World, xendit: FakeXendit, code: str, cause: str
) -> None:
    """A visit may be a year after it was paid; no bank gives back for so long, and that is no reason to stay."""
    xendit.refuses = code
    sale = await refund_submitted(shop, xendit)
    (refund,) = await shop.refunds(sale)
    assert (refund.status, refund.failure_reason) == (RefundStatus.MANUAL, cause)
    assert (await shop.answer(sale.submit())).outcome == SUCCEEDED


async def test_a_refund_that_was_put_off_is_made_once_the_balance_is_topped_up(shop: World, xendit: FakeXendit) -> None:
    """Under the first key Xendit would say for ever that the balance does not reach."""
    xendit.refuses = "INSUFFICIENT_BALANCE"
    sale = await refund_submitted(shop, xendit)
    await shop.one_step()
    xendit.refuses = ""
    await shop.one_step()
    (refund,) = await shop.refunds(sale)
    assert (refund.status, refund.retries, len(xendit.refunds)) == (RefundStatus.PENDING, 0, 1)


async def test_a_virtual_account_takes_nothing_back(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale(), "virtual_account")
    xendit.pay(sale.payment_id)
    await shop.work()
    for order in (sale.reserve("100000"), sale.submit()):
        await shop.order(order)
    await shop.work()
    (refund,) = await shop.refunds(sale)
    assert (refund.status, refund.failure_reason) == (RefundStatus.MANUAL, "METHOD_NOT_REFUNDABLE")
    assert xendit.refunds == {}
