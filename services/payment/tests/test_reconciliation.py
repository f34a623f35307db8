"""What providers say now: their own list where they have one, else their word on each of our rows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from petpro.payment.v1.reconciliation_pb2 import (
    MOVEMENT_KIND_CAPTURE,
    MOVEMENT_KIND_REFUND,
    MOVEMENT_STATE_DONE,
    MOVEMENT_STATE_PENDING,
    ProviderMovement,
)
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.testing import reason_of
from petpro_payment.providers.provider import PaymentOrder
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PRICE, Sale, World

BEGAN = datetime.now(UTC) - timedelta(minutes=5)


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


async def told(desk: Desk, provider: str, kind: Any, until: datetime | None = None) -> list[ProviderMovement]:
    """All pages, of one movement each."""
    found: list[ProviderMovement] = []
    asked = {"provider": provider, "kind": kind, "since": BEGAN, "until": until or now(), "page_size": 1}
    token = ""
    while True:
        page = await desk.movements(**asked, page_token=token)
        assert page.is_listed == (provider == "sandbox")
        found += page.movements
        token = page.next_page_token
        if not token:
            return found


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(world, tmp_path) as desk:
        yield desk


@pytest.fixture
async def sandbox_desk(sandbox_world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(sandbox_world, tmp_path) as desk:
        yield desk


async def refunded(world: World, count: int) -> list[Sale]:
    """Sales, of each of which the provider has taken on to give back a part."""
    sales = [await world.paid(Sale()) for _ in range(count)]
    for sale in sales:
        for order in (sale.fee(), sale.reserve("100000"), sale.refund_entry(), sale.submit(), sale.settle()):
            await world.order(order)
    await world.one_step()
    return sales


async def test_a_provider_without_a_list_is_asked_about_our_own(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sales = await refunded(world, 3)
    provider.send_back(sales[0].refund_id)
    lost = sales.pop()
    del provider.payments[lost.payment_id], provider.refunds[lost.refund_id]
    stranger = provider.take(new_id(), PRICE)
    taken = await told(desk, "played", MOVEMENT_KIND_CAPTURE)
    assert [each.reference for each in taken] == [str(sale.payment_id) for sale in sales]
    assert {(each.amount.amount, each.state) for each in taken} == {("250000.00", MOVEMENT_STATE_DONE)}
    assert stranger.external_reference not in {each.external_reference for each in taken}
    given = await told(desk, "played", MOVEMENT_KIND_REFUND)
    assert {each.reference: each.state for each in given} == {
        str(sales[0].refund_id): MOVEMENT_STATE_DONE,
        str(sales[1].refund_id): MOVEMENT_STATE_PENDING,
    }
    assert not any(each.HasField("amount") or each.HasField("at") for each in given)
    assert await told(desk, "played", MOVEMENT_KIND_CAPTURE, until=BEGAN + timedelta(seconds=1)) == []


async def test_the_sandbox_lists_what_nobody_here_knows_of(sandbox_world: World, sandbox_desk: Desk) -> None:
    sales = await refunded(sandbox_world, 2)
    stranger = PaymentOrder(new_id(), PRICE, "card", "tok_success", new_id())
    await sandbox_world.providers["sandbox"].create_payment(stranger)
    taken = {each.reference: each for each in await told(sandbox_desk, "sandbox", MOVEMENT_KIND_CAPTURE)}
    given = {each.reference: each for each in await told(sandbox_desk, "sandbox", MOVEMENT_KIND_REFUND)}
    assert taken[str(stranger.reference)].amount.amount == "250000.00"
    for sale in sales:
        payment = await sandbox_world.payment(sale)
        (refund,) = await sandbox_world.refunds(sale)
        capture = taken[str(sale.payment_id)]
        assert (capture.external_reference, capture.at.ToDatetime(UTC)) == (payment.external_reference, payment.paid_at)
        assert (capture.amount.amount, capture.amount.currency_code) == ("250000.00", "IDR")
        assert given[str(sale.refund_id)].external_reference == refund.external_reference
        assert given[str(sale.refund_id)].amount.amount == "100000.00"


async def test_a_provider_that_cannot_be_asked_leaves_no_half_answer(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    await world.paid(Sale())
    provider.deaf = True
    with pytest.raises(aio.AioRpcError) as refused:
        await told(desk, "played", MOVEMENT_KIND_CAPTURE)
    assert (refused.value.code(), reason_of(refused.value)) == (StatusCode.UNAVAILABLE, "PROVIDER_AWAY")


async def test_who_may_ask_and_about_whom(desk: Desk) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await told(desk, "nobody", MOVEMENT_KIND_CAPTURE)
    assert reason_of(refused.value) == "PROVIDER_NOT_FOUND"
    desk.role = Role.CLINIC
    with pytest.raises(aio.AioRpcError) as refused:
        await told(desk, "played", MOVEMENT_KIND_CAPTURE)
    assert refused.value.code() is StatusCode.PERMISSION_DENIED
