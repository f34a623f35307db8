"""Money that waits for a person: listed with its age, and ended once, with who and why."""

from collections.abc import AsyncIterator
from datetime import UTC
from decimal import Decimal
from pathlib import Path

import pytest
from grpc import StatusCode, aio
from structlog.testing import capture_logs

from petpro_common.context import Role
from petpro_common.money import Money
from petpro_common.testing import reason_of
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.outcomes import Captured, RefundAccepted, RefundFailed, RefundSucceeded
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.test_journal import balances
from services.payment.tests.world import PENDING, SUCCEEDED, Sale, World


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(world, tmp_path) as desk:
        yield desk


async def stuck(world: World, provider: PlayedProvider, *, must_succeed: bool = True) -> Sale:
    """A sale whose refund the provider has refused, though it must succeed unless told otherwise."""
    sale = await world.paid(Sale())
    provider.refuses_refunds = True
    for order in (sale.reserve("250000"), sale.refund_entry(), sale.submit(must_succeed)):
        await world.order(order)
    await world.work()
    assert (await world.order(sale.settle())).outcome == PENDING
    return sale


async def test_a_refund_for_a_person_is_listed_with_its_age(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sales = [await stuck(world, provider) for _ in range(2)]
    found = await desk.waiting()
    assert [each.refund.id for each in found] == [str(sale.refund_id) for sale in sales]
    (refund, *_) = await world.refunds(sales[0])
    assert found[0].waits_since.ToDatetime(UTC) == refund.updated_at
    assert (found[0].failure_reason, found[0].clinic_id) == ("refund_refused", str(sales[0].clinic_id))
    assert await desk.waiting(min_age=60) == []


async def test_a_payout_by_hand_ends_the_refund_and_its_saga(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await stuck(world, provider)
    foreseen = await desk.pay_out(sale.refund_id, dry_run=True)
    assert (await world.answer(sale.settle())).outcome == PENDING
    done = await desk.pay_out(sale.refund_id)
    assert done.refund.status == foreseen.refund.status
    assert (await world.answer(sale.settle())).outcome == SUCCEEDED
    (refund,) = await world.refunds(sale)
    assert refund.status is RefundStatus.SUCCEEDED
    assert (await world.payment(sale)).status is PaymentStatus.REFUNDED
    assert (await world.events(sale))[-1] == "refund.succeeded"
    assert await balances(world, sale) == {"provider_clearing": 250000, "payout_clearing": -250000}
    [kept] = await world.rows("SELECT * FROM money_operations")
    assert (kept.operator, kept.verb, kept.reference) == (str(desk.admin), "pay_out_refund", "transfer 17")


async def test_a_payout_happens_once(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await stuck(world, provider)
    await desk.pay_out(sale.refund_id)
    for _ in range(2):
        with pytest.raises(aio.AioRpcError) as refused:
            await desk.pay_out(sale.refund_id)
        assert reason_of(refused.value) == "REFUND_NOT_MANUAL"
    assert len(await world.rows("SELECT * FROM money_operations")) == 1


async def test_a_payout_of_what_the_bank_sent_back(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("250000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    (gone,) = await world.refunds(sale)
    await world.worker().record_refund(gone, RefundFailed("re", "account_closed"))
    assert (await balances(world, sale))["customer_liability"] == -250000
    await desk.pay_out(sale.refund_id)
    assert await balances(world, sale) == {"provider_clearing": 250000, "payout_clearing": -250000}


async def test_a_provider_that_fails_once_more_does_not_undo_a_payout(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await stuck(world, provider)
    await desk.pay_out(sale.refund_id)
    before = await balances(world, sale)
    (paid,) = await world.refunds(sale)
    await world.worker().record_refund(paid, RefundFailed("re", "account_closed"))
    (refund,) = await world.refunds(sale)
    assert (refund.status, await balances(world, sale)) == (RefundStatus.SUCCEEDED, before)


@pytest.mark.parametrize("ended_by", ["refusal", "nothing", "payout"])
async def test_a_refund_that_its_provider_makes_after_all_raises_an_alarm(
    world: World, provider: PlayedProvider, desk: Desk, ended_by: str
) -> None:
    sale = await stuck(world, provider, must_succeed=ended_by != "refusal")
    if ended_by == "payout":
        await desk.pay_out(sale.refund_id)
    (before,) = await world.refunds(sale)
    for told in (RefundAccepted("re"), RefundSucceeded("re")):
        with capture_logs() as said:
            await world.worker().record_refund(before, told)
        assert [line["log_level"] for line in said if line["event"] == "provider makes a refund after all"] == ["error"]
    assert await world.refunds(sale) == [before]


async def test_late_words_on_a_refund_that_its_provider_had_raise_none(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("250000"), sale.submit()):
        await world.order(order)
    await world.one_step()
    with capture_logs() as said:
        for told in (RefundFailed("re", "account_closed"), RefundSucceeded("re"), RefundAccepted("re")):
            (refund,) = await world.refunds(sale)
            await world.worker().record_refund(refund, told)
    assert [line["event"] for line in said] == ["refund needs a person"]


async def test_a_quarantined_payment_is_listed_and_closed(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = Sale()
    provider.takes_instead = Money(Decimal("17.50"), "USD")
    await world.order(sale.take())
    await world.work()
    [waiting] = await desk.quarantined()
    assert (waiting.payment_id, waiting.taken.amount, waiting.taken.currency_code) == (
        str(sale.payment_id),
        "17.50",
        "USD",
    )
    assert waiting.ordered.currency_code == "IDR"
    [taken] = [each for each in await desk.journal() if each.kind == "quarantine"]
    assert {line.account: line.amount.amount for line in taken.lines} == {
        "customer_liability": "-17.50",
        "provider_clearing": "17.50",
    }
    await desk.close_quarantine(sale)
    assert await desk.quarantined() == []
    assert await balances(world, sale) == {}
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.close_quarantine(sale)
    assert reason_of(refused.value) == "PAYMENT_NOT_QUARANTINED"


@pytest.mark.parametrize(
    ("taken", "beyond"),
    [(Money(Decimal(100000), "IDR"), "-150000.00"), (Money(Decimal("7.50"), "USD"), "7.50")],
)
async def test_another_amount_than_was_captured_waits_for_a_person_too(
    world: World, provider: PlayedProvider, desk: Desk, taken: Money, beyond: str
) -> None:
    sale = await world.paid(Sale())
    before = await balances(world, sale)
    payment = await world.payment(sale)
    for _ in range(2):
        await world.worker().record_payment(payment, Captured(payment.external_reference or "", taken, payment.now))
    [waiting] = await desk.quarantined()
    assert (waiting.taken.amount, waiting.taken.currency_code) == (beyond, taken.currency)
    await desk.close_quarantine(sale)
    assert await balances(world, sale) == before
    assert await world.refunds(sale) == []


@pytest.mark.parametrize("amount", ["250000", "100000"])
async def test_what_is_taken_once_more_under_another_name_waits_for_a_person(
    world: World, provider: PlayedProvider, desk: Desk, amount: str
) -> None:
    """The customer has paid twice, and the first charge stands."""
    sale = await world.paid(Sale())
    before, payment = await balances(world, sale), await world.payment(sale)
    for _ in range(2):
        second = Captured("pi_another", Money(Decimal(amount), "IDR"), payment.now)
        await world.worker().record_payment(payment, second)
    paid = await world.payment(sale)
    assert (paid.status, paid.external_reference) == (PaymentStatus.SUCCESS, payment.external_reference)
    [waiting] = await desk.quarantined()
    assert Decimal(waiting.taken.amount) == Decimal(amount)
    assert (await balances(world, sale))["provider_clearing"] == before["provider_clearing"] + Decimal(amount)
    await desk.close_quarantine(sale)
    assert await balances(world, sale) == before


async def test_only_administrators_have_a_desk(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await stuck(world, provider)
    desk.role = Role.CLINIC
    for call in (desk.settle(), desk.journal(), desk.waiting(), desk.quarantined(), desk.pay_out(sale.refund_id)):
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is StatusCode.PERMISSION_DENIED
