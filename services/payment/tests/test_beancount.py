"""The exported journal, added up by beancount's own checker in a process of its own."""

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from petpro_common.money import Money
from petpro_payment import settlements
from petproctl import beancount
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import Sale, World

BEAN_CHECK = Path(sys.executable).with_name("bean-check")
BALANCES = """
    SELECT account, clinic_id, provider, currency, sum(amount) AS balance
    FROM journal_lines JOIN journal_transactions t ON t.id = transaction_id GROUP BY 1, 2, 3, 4
"""


@pytest.fixture
async def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(settlements, "IN_FLIGHT", timedelta(0))
    async with open_desk(world, tmp_path) as desk:
        yield desk


def checked(file: Path, content: str) -> subprocess.CompletedProcess[str]:
    """What beancount says of a journal."""
    file.write_text(content)
    return subprocess.run([BEAN_CHECK, file], capture_output=True, text=True, check=False, timeout=60)


async def trade(world: World, provider: PlayedProvider, desk: Desk) -> None:
    """Sales in three currencies; of each kind of happening one."""
    sales = [
        await world.paid(Sale(price=Money(Decimal(price), currency)))
        for price, currency in (("250000", "IDR"), ("19.99", "USD"), ("3001", "JPY"))
    ]
    for sale in sales:
        for order in (sale.reserve("7"), sale.refund_entry(), sale.submit()):
            await world.order(order)
        await world.one_step()
        provider.send_back(sale.refund_id)
    await world.work()
    await desk.settle()
    provider.refuses_refunds = True
    stuck, refused = await world.paid(Sale()), await world.paid(Sale())
    for order in (stuck.reserve("1000"), stuck.refund_entry(), stuck.submit(must_succeed=True)):
        await world.order(order)
    for order in (refused.reserve("1000"), refused.refund_entry(), refused.submit()):
        await world.order(order)
    await world.work()
    await world.order(refused.cancel_entry())
    await desk.pay_out(stuck.refund_id)
    provider.takes_instead = Money(Decimal("17.50"), "USD")
    await world.order(Sale().take())
    await world.work()


async def test_beancount_finds_the_balances_that_the_database_has(
    world: World, provider: PlayedProvider, desk: Desk, tmp_path: Path
) -> None:
    await trade(world, provider, desk)
    transactions = [MessageToDict(each, preserving_proto_field_name=True) for each in await desk.journal(page_size=5)]
    assert {each["kind"] for each in transactions} >= {
        "capture", "entry", "entry_cancelled", "refund", "settlement", "refund_paid_out", "quarantine"
    }  # fmt: skip
    content = "".join(beancount.export(transactions))
    said = checked(tmp_path / "books.beancount", content)
    assert said.returncode == 0, said.stdout + said.stderr

    asserted = [line.split()[2:] for line in content.splitlines() if " balance " in line]
    sums: dict[tuple[str, str], Decimal] = {}
    for row in await world.rows(BALANCES):
        of = {"clinic_id": str(row.clinic_id), "provider": row.provider or ""}
        key = beancount.account(row.account, of), row.currency
        sums[key] = sums.get(key, Decimal(0)) + row.balance
    assert {(account, currency): Decimal(balance) for account, balance, currency in asserted} == sums


@pytest.mark.parametrize(("right", "wrong"), [("250000.00 IDR", "250000.01 IDR"), ("19.99 USD", "19.98 USD")])
async def test_beancount_finds_what_is_a_cent_off(
    world: World, provider: PlayedProvider, desk: Desk, tmp_path: Path, right: str, wrong: str
) -> None:
    await trade(world, provider, desk)
    transactions = [MessageToDict(each, preserving_proto_field_name=True) for each in await desk.journal()]
    content = "".join(beancount.export(transactions)).replace(right, wrong, 1)
    assert checked(tmp_path / "books.beancount", content).returncode != 0
