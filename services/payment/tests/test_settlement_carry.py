"""What corrects a clinic's account after a settlement: its next one. No order of happenings pays it more or less."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment import settlements
from petpro_payment.domain import RefundStatus
from petpro_payment.outcomes import RefundFailed
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.money_model import ASTRAY
from services.payment.tests.played import PlayedProvider
from services.payment.tests.test_settlements import give_back
from services.payment.tests.world import Sale, World

SHARES = """
    SELECT (SELECT coalesce(sum(clinic_amount), 0) FROM settlements WHERE clinic_id = :clinic) AS paid,
        (SELECT coalesce(sum(clinic_amount), 0) FROM financial_entries
         WHERE clinic_id = :clinic AND status <> 'cancelled') AS earned
"""


@pytest.fixture
async def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(settlements, "IN_FLIGHT", timedelta(0))
    async with open_desk(world, tmp_path) as desk:
        yield desk


@dataclass
class Clinic:
    """One clinic, to which anything may happen at any time. Each happening does what it can, or nothing."""

    world: World
    provider: PlayedProvider
    desk: Desk
    id: UUID = field(default_factory=new_id)
    sales: list[Sale] = field(default_factory=list)

    async def sell(self) -> None:
        sale = Sale(clinic_id=self.id, price=Money(Decimal("99.97"), "USD"))
        await self.world.order(sale.take())
        await self.world.one_step()
        await self.world.order(sale.fee())
        self.sales.append(sale)

    async def order_refund(self) -> None:
        for sale in self.sales:
            if not await self.world.refunds(sale):
                await give_back(self.world, self.provider, sale, "33.33")
                return

    async def pay_refund(self) -> None:
        for sale in await self.refunds_that_are(RefundStatus.PENDING):
            self.provider.send_back(sale.refund_id)
            await self.world.one_step()

    async def send_refund_back(self) -> None:
        for sale in await self.refunds_that_are(RefundStatus.SUCCEEDED):
            (refund,) = await self.world.refunds(sale)
            await self.world.worker().record_refund(refund, RefundFailed("re", "account_closed"))

    async def pay_out(self) -> None:
        for sale in await self.refunds_that_are(RefundStatus.REVERSED, RefundStatus.MANUAL):
            await self.desk.pay_out(sale.refund_id)

    async def settle(self) -> None:
        await self.desk.settle(self.id)

    async def refunds_that_are(self, *statuses: RefundStatus) -> list[Sale]:
        return [sale for sale in self.sales for each in await self.world.refunds(sale) if each.status in statuses]


@pytest.mark.parametrize("seed", range(6))
async def test_all_settlements_together_pay_what_the_entries_are(
    world: World, provider: PlayedProvider, desk: Desk, seed: int
) -> None:
    clinic, chance = Clinic(world, provider, desk), random.Random(seed)
    happenings: list[Callable[[], Awaitable[None]]] = [
        clinic.sell,
        clinic.order_refund,
        clinic.pay_refund,
        clinic.send_refund_back,
        clinic.pay_out,
        clinic.settle,
        clinic.settle,
    ]
    await clinic.sell()
    for _ in range(25):
        await chance.choice(happenings)()
        assert await world.rows(ASTRAY, clinic=clinic.id) == []
    for each in (clinic.pay_refund, clinic.pay_out, *[clinic.sell] * 4, clinic.settle):  # more than refunds take
        await each()
    [shares] = await world.rows(SHARES, clinic=clinic.id)
    assert shares.paid == shares.earned > 0


async def test_a_refund_sent_back_after_its_settlement_leaves_the_clinic_as_it_was(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    """The clinic has given its part; what came back is the customer's, until a person has paid it out."""
    clinic = Clinic(world, provider, desk)
    for each in (clinic.sell, clinic.sell, clinic.order_refund, clinic.pay_refund, clinic.settle):
        await each()
    [before] = await world.rows(SHARES, clinic=clinic.id)
    await clinic.send_refund_back()
    assert await desk.settle(clinic.id) == []
    await clinic.pay_out()
    assert await desk.settle(clinic.id) == []
    assert await world.rows(SHARES, clinic=clinic.id) == [before]


async def test_a_refund_sent_back_before_its_settlement_is_taken_off_once_it_is_paid(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    clinic = Clinic(world, provider, desk)
    for each in (clinic.sell, clinic.order_refund, clinic.pay_refund, clinic.send_refund_back):
        await each()
    [first] = await desk.settle(clinic.id)
    assert (first.entry_count, first.clinic_amount.amount) == (1, "89.97")
    await clinic.pay_out()
    await clinic.sell()
    [second] = await desk.settle(clinic.id)
    assert (second.entry_count, second.clinic_amount.amount) == (2, "59.97")
