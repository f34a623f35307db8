"""What refunds and fees are in the ledger: waited for, split, cancelled and kept."""

from dataclasses import replace
from decimal import Decimal

import pytest
from psycopg import IntegrityError

from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment.errors import TooEarly
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import REFUSED, SUCCEEDED, Sale, World


async def test_an_entry_waits_for_the_fee_that_it_is_split_by(world: World) -> None:
    sale = Sale()
    await world.order(sale.take())
    await world.work()
    await world.order(sale.reserve("1000"))
    with pytest.raises(TooEarly):
        await world.order(sale.refund_entry())
    await world.order(sale.fee())
    assert (await world.order(sale.refund_entry())).outcome == SUCCEEDED


async def test_a_fee_of_another_amount_than_was_paid_is_not_written(world: World) -> None:
    sale = Sale()
    await world.order(sale.take())
    await world.work()
    for price in (Money(Decimal(1000), "IDR"), Money(sale.price.amount, "USD")):
        with pytest.raises(TooEarly):
            await world.order(replace(sale, price=price).fee())
    assert await world.entries(sale) == []


async def test_an_entry_that_was_cancelled_is_not_posted_by_a_late_order(world: World) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("1000"), sale.refund_entry(), sale.cancel_entry()):
        await world.order(order)
    late = await world.order(sale.refund_entry(), command_id="late")
    assert (late.outcome, late.reason) == (REFUSED, "CALLED_OFF")


async def test_shares_follow_the_refunds_that_count_and_none_that_was_refused(
    world: World, provider: PlayedProvider
) -> None:
    sale = await world.paid(Sale(price=Money(Decimal("99.97"), "USD")))
    again = replace(sale, refund_id=new_id(), refund_entry_id=new_id())
    for each in (sale, again):
        provider.refuses_refunds = each is sale
        for order in (each.reserve("33.33"), each.refund_entry(), each.submit()):
            await world.order(order)
        await world.one_step()
        if each is sale:
            await world.order(sale.cancel_entry())
    refused, given = [entry for entry in await world.entries(sale) if entry.type == "refund"]
    assert (refused.status, given.status) == ("cancelled", "pending")
    assert given.platform_fee == refused.platform_fee == Decimal("-3.33")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE financial_entries SET total_amount = 1, platform_fee = 0, clinic_amount = 1",
        "UPDATE financial_entries SET clinic_id = gen_random_uuid()",
    ],
)
async def test_a_ledger_entry_keeps_its_amounts(world: World, change: str) -> None:
    await world.paid(Sale())
    with pytest.raises(IntegrityError, match="keeps its amounts"):
        await world.run(change)
    with pytest.raises(IntegrityError, match="never deleted"):
        await world.run("DELETE FROM financial_entries")


async def test_the_fee_is_split_by_the_snapshotted_commission(world: World) -> None:
    sale = await world.paid(Sale())
    (fee,) = await world.entries(sale)
    shares = (fee.total_amount, fee.platform_fee, fee.clinic_amount, fee.tax_amount)
    assert shares == (Decimal(250000), Decimal(25000), Decimal(225000), Decimal(0))
    assert (fee.status, fee.settlement_date) == ("pending", None)
