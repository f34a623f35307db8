"""The journal: what moves money is in it, balanced, in the same commit; and nothing changes it afterwards."""

from decimal import Decimal

import pytest
from psycopg import IntegrityError
from sqlalchemy import text

from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment import ledger
from petpro_payment.batches import NotTogether
from petpro_payment.ledger import Fee
from petpro_payment.outcomes import RefundFailed
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PRICE, Sale, World

BALANCES = """
    SELECT account, sum(amount) AS balance FROM journal_lines JOIN journal_transactions t ON t.id = transaction_id
    WHERE t.clinic_id = :clinic_id GROUP BY account HAVING sum(amount) <> 0
"""
A_TRANSACTION = """
    INSERT INTO journal_transactions (id, kind, source_id, provider, currency)
    VALUES (:id, 'capture', :id, 'played', 'IDR')
"""
A_LINE = "INSERT INTO journal_lines VALUES (:id, :account, :amount)"


async def balances(world: World, sale: Sale) -> dict[str, int]:
    """What each account of a sale holds: debits above zero."""
    return {row.account: int(row.balance) for row in await world.rows(BALANCES, clinic_id=sale.clinic_id)}


async def kinds(world: World) -> list[str]:
    return [row.kind for row in await world.rows("SELECT kind FROM journal_transactions ORDER BY posted_at, id")]


async def post(world: World, lines: dict[str, str]) -> None:
    """A transaction with these lines, written by hand."""
    async with world.database.transaction() as tx:
        id_ = new_id()
        await tx.execute(text(A_TRANSACTION), {"id": id_})
        for account, amount in lines.items():
            await tx.execute(text(A_LINE), {"id": id_, "account": account, "amount": Decimal(amount)})


async def test_what_is_taken_is_owed_to_the_customer_until_it_is_shared_out(world: World) -> None:
    sale = Sale()
    await world.order(sale.take())
    await world.work()
    assert await balances(world, sale) == {"provider_clearing": 250000, "customer_liability": -250000}
    await world.order(sale.fee())
    shares = {"platform_revenue": -25000, "clinic_payable": -225000}
    assert await balances(world, sale) == {"provider_clearing": 250000, **shares}


async def test_fees_that_are_posted_together_are_each_posted_once(world: World) -> None:
    paid, earlier = await world.paid(Sale()), [Sale(), Sale(price=Money(Decimal("90000.00"), "IDR"))]
    for sale in earlier:
        await world.order(sale.take())
    await world.work()
    fees = [
        Fee(sale.entry_id, sale.payment_id, sale.booking_id, sale.clinic_id, sale.price, Decimal(10))
        for sale in (paid, *earlier)
    ]
    async with world.database.transaction() as tx:
        assert len(await ledger.post_fees(tx, fees, Decimal(0))) == 3
    assert [[entry.platform_fee for entry in await world.entries(sale)] for sale in (paid, *earlier)] == [
        [Decimal(25000)],
        [Decimal(25000)],
        [Decimal(9000)],
    ]
    with pytest.raises(NotTogether):
        async with world.database.transaction() as tx:
            await ledger.post_fees(tx, [fees[0], fees[0]], Decimal(0))


async def test_a_refund_takes_from_each_what_it_had_got(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("100000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.one_step()
    shares = {"platform_revenue": -15000, "clinic_payable": -135000}
    assert await balances(world, sale) == {"provider_clearing": 250000, "customer_liability": -100000, **shares}
    provider.send_back(sale.refund_id)
    await world.work()
    assert await balances(world, sale) == {"provider_clearing": 150000, **shares}
    assert await kinds(world) == ["capture", "entry", "entry", "refund"]


async def test_a_cancelled_entry_is_undone(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    before = await balances(world, sale)
    provider.refuses_refunds = True
    for order in (sale.reserve("1000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.work()
    await world.order(sale.cancel_entry())
    assert await balances(world, sale) == before
    assert (await kinds(world))[-1] == "entry_cancelled"


async def test_what_the_bank_sends_back_is_owed_again(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("1000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    (gone,) = await world.refunds(sale)
    await world.worker().record_refund(gone, RefundFailed("re", "refund_failed"))
    assert (await balances(world, sale))["customer_liability"] == -1000
    assert (await kinds(world))[-1] == "refund_returned"


async def test_money_for_nothing_is_not_posted(world: World) -> None:
    await world.paid(Sale(price=type(PRICE)(Decimal(0), "IDR")))
    assert await kinds(world) == []


async def test_an_unbalanced_transaction_is_refused(world: World) -> None:
    with pytest.raises(IntegrityError, match="a journal transaction balances"):
        await post(world, {"provider_clearing": "100", "customer_liability": "-99.99"})


@pytest.mark.parametrize("lines", [{}, {"provider_clearing": "1"}])
async def test_a_transaction_has_two_sides(world: World, lines: dict[str, str]) -> None:
    with pytest.raises(IntegrityError, match="a journal transaction balances"):
        await post(world, lines)


@pytest.mark.parametrize("lines", [{"provider_clearing": "0"}, {"pocket": "1", "customer_liability": "-1"}])
async def test_a_line_moves_something_on_an_account_that_there_is(world: World, lines: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        await post(world, lines)


async def test_nothing_joins_a_transaction_that_has_committed(world: World) -> None:
    await world.paid(Sale())
    with pytest.raises(IntegrityError, match="of its own commit"):
        await world.run(
            "INSERT INTO journal_lines SELECT id, line.* FROM journal_transactions, "
            "(VALUES ('tax_payable', 1), ('platform_revenue', -1)) AS line WHERE kind = 'capture'"
        )


@pytest.mark.parametrize("change", ["UPDATE {} SET account = 'tax_payable'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_is_posted_stays(world: World, change: str) -> None:
    await world.paid(Sale())
    with pytest.raises(IntegrityError, match="only added to"):
        await world.run(change.format("journal_lines"))
    with pytest.raises(IntegrityError, match="only added to"):
        await world.run(change.format("journal_transactions").replace("account = 'tax_payable'", "currency = 'USD'"))


async def test_nothing_is_posted_twice(world: World) -> None:
    sale = await world.paid(Sale())
    with pytest.raises(IntegrityError, match="journal_transactions_once"):
        await world.run(
            "INSERT INTO journal_transactions (kind, source_id, provider, currency) "
            "VALUES ('capture', :id, 'played', 'IDR')",
            id=sale.payment_id,
        )
