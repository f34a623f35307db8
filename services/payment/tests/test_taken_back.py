"""What a provider takes back by itself after it was captured: a person's, and paid to nobody until that is closed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from structlog.testing import capture_logs

from petpro_common.db import Database
from petpro_common.testing import eventually, reason_of
from petpro_payment import metrics, payments, settlements, store
from petpro_payment.domain import Disposition, PaymentStatus, RefundStatus
from petpro_payment.outcomes import CalledOff, Declined
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.fake_midtrans import FakeMidtrans
from services.payment.tests.midtrans_shop import asked, deliver, open_shop, settled
from services.payment.tests.test_journal import balances
from services.payment.tests.world import Sale, World

QUARANTINED, IGNORED = Disposition.QUARANTINED, Disposition.IGNORED


@pytest.fixture
def midtrans() -> FakeMidtrans:
    return FakeMidtrans()


@pytest.fixture
async def shop(pool: Database, midtrans: FakeMidtrans) -> AsyncIterator[World]:
    async with open_shop(pool, midtrans) as opened:
        yield opened


@pytest.fixture
async def desk(shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(settlements, "IN_FLIGHT", timedelta(0))
    async with open_desk(shop, tmp_path) as desk:
        yield desk


def errors(said: list[Any]) -> list[str]:
    return [line["event"] for line in said if line["log_level"] == "error"]


@pytest.mark.parametrize(
    ("method", "token", "taken", "status"),
    [("virtual_account", "permata", "settlement", "deny"), ("card", "good", "capture", "cancel")],
)
async def test_it_waits_for_a_person_with_an_alarm(
    shop: World, midtrans: FakeMidtrans, desk: Desk, method: str, token: str, taken: str, status: str
) -> None:
    """By Permata without funds minutes after its settlement, or in Midtrans' own pages."""
    sale = await asked(shop, Sale(), method, token)
    await deliver(shop, midtrans.becomes(sale.payment_id, taken))
    await shop.order(sale.fee())
    before, counted = await balances(shop, sale), metrics.QUARANTINED._value.get()
    with capture_logs() as said:
        told = [await deliver(shop, midtrans.becomes(sale.payment_id, status)) for _ in range(2)]
    assert told == [[QUARANTINED], [IGNORED]]
    assert errors(said) == ["provider has taken back what it had captured"]
    assert metrics.QUARANTINED._value.get() == counted + 1
    [waiting] = await desk.quarantined()
    assert (waiting.payment_id, waiting.taken.amount) == (str(sale.payment_id), "-250000.00")
    assert (await shop.payment(sale)).status is PaymentStatus.SUCCESS
    assert await balances(shop, sale) == before


async def test_its_clinic_is_paid_nothing_of_it_until_a_person_has_closed_it(
    shop: World, midtrans: FakeMidtrans, desk: Desk
) -> None:
    sale = await settled(shop, midtrans)
    other = Sale(clinic_id=sale.clinic_id)
    await asked(shop, other)
    await deliver(shop, midtrans.becomes(other.payment_id, "settlement"))
    for each in (sale, other):
        await shop.order(each.fee())
    await deliver(shop, midtrans.becomes(sale.payment_id, "deny"))
    foreseen, made = [await desk.settle(sale.clinic_id, dry_run=dry_run) for dry_run in (True, False)]
    assert [each.entry_count for each in (*foreseen, *made)] == [1, 1]
    await desk.close_quarantine(sale)
    [rest] = await desk.settle(sale.clinic_id)
    assert (rest.entry_count, rest.clinic_amount.amount) == (1, "225000.00")


async def test_its_refund_is_not_paid_out_beside_it(shop: World, midtrans: FakeMidtrans, desk: Desk) -> None:
    """Paid too late into an account that takes nothing back, and then reversed: the customer would have it twice."""
    sale = await asked(shop, Sale(), "virtual_account", "permata")
    await shop.run_out(sale)
    await shop.work()
    await deliver(shop, midtrans.becomes(sale.payment_id, "settlement"))
    await shop.work()
    await deliver(shop, midtrans.becomes(sale.payment_id, "deny"))
    (refund,) = await shop.refunds(sale)
    assert refund.status is RefundStatus.MANUAL
    for act in (desk.pay_out, desk.retry):
        for dry_run in (True, False):
            with pytest.raises(aio.AioRpcError) as refused:
                await act(refund.id, dry_run=dry_run)
            assert reason_of(refused.value) == "PAYMENT_TAKEN_BACK"
    await desk.close_quarantine(sale)
    await desk.pay_out(refund.id)
    assert [row.verb for row in await shop.rows("SELECT verb FROM money_operations ORDER BY at")] == [
        "close_quarantine",
        "pay_out_refund",
    ]


async def test_a_payout_waits_for_what_is_just_being_learned_of_its_payment(
    shop: World, midtrans: FakeMidtrans, desk: Desk
) -> None:
    sale = await asked(shop, Sale(), "virtual_account", "permata")
    await shop.run_out(sale)
    await shop.work()
    await deliver(shop, midtrans.becomes(sale.payment_id, "settlement"))
    await shop.work()
    (refund,) = await shop.refunds(sale)
    assert refund.status is RefundStatus.MANUAL
    async with shop.database.transaction() as tx:
        paid = await store.lock_payment(tx, sale.payment_id)
        assert paid
        await payments.learn(tx, paid, CalledOff(paid.external_reference or "", is_current=True))
        paying = asyncio.create_task(desk.pay_out(refund.id))
        await eventually(shop.somebody_waits)
    with pytest.raises(aio.AioRpcError) as refused:
        await paying
    assert reason_of(refused.value) == "PAYMENT_TAKEN_BACK"


async def test_a_card_that_we_called_off_while_it_was_captured(shop: World, midtrans: FakeMidtrans, desk: Desk) -> None:
    """Midtrans lets go of a capture that is not settled: its word on our own call tells it too."""
    sale = await asked(shop, Sale(), "card", "3ds")
    open_ = await shop.payment(sale)
    await deliver(shop, midtrans.becomes(sale.payment_id, "capture", fraud_status="accept"))
    await shop.worker().record_payment(open_, CalledOff(open_.external_reference or "", is_current=True))
    assert len(await desk.quarantined()) == 1


async def test_later_words_are_that_person_s(shop: World, midtrans: FakeMidtrans, desk: Desk) -> None:
    sale = await settled(shop, midtrans)
    await deliver(shop, midtrans.becomes(sale.payment_id, "deny"))
    await desk.close_quarantine(sale)
    with capture_logs() as said:
        for status in ("refund", "failure"):
            assert await deliver(shop, midtrans.becomes(sale.payment_id, status)) == [IGNORED]
    assert errors(said) == ["provider tells of a quarantined payment"] * 2
    assert await desk.quarantined() == []


async def test_words_about_another_charge_or_an_earlier_day_take_nothing_back(
    shop: World, midtrans: FakeMidtrans, desk: Desk
) -> None:
    sale = await settled(shop, midtrans)
    paid = await shop.payment(sale)
    external = paid.external_reference or ""
    for told in (CalledOff("another", is_current=True), Declined("CARD_DECLINED", external), CalledOff(external)):
        await shop.worker().record_payment(paid, told)
    assert await desk.quarantined() == []
    assert (await shop.payment(sale))._replace(now=paid.now) == paid
