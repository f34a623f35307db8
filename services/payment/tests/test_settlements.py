"""Paying the clinics: entries are settled once, refunds when they are gone; statements say what the books say."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from grpc import StatusCode, aio
from psycopg import IntegrityError

from petpro.payment.v1.ledger_pb2 import STATEMENT_FORMAT_CSV, STATEMENT_FORMAT_HTML
from petpro_common.context import Role
from petpro_common.db import Row
from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_common.testing import eventually, reason_of
from petpro_payment import settlements, store_settlements
from petpro_payment.consumer import on_clinic_changed
from services.payment.tests.desk import WHY, Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import Sale, World


@pytest.fixture
async def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """Nothing is in flight while these tests settle, so they need not wait for a minute."""
    monkeypatch.setattr(settlements, "IN_FLIGHT", timedelta(0))
    async with open_desk(world, tmp_path) as desk:
        yield desk


async def give_back(world: World, provider: PlayedProvider, sale: Sale, amount: str) -> None:
    """A refund up to where the provider has it."""
    for order in (sale.reserve(amount), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.one_step()


async def test_what_was_earned_is_settled_once(world: World, desk: Desk) -> None:
    clinic = new_id()
    sales = [await world.paid(Sale(clinic_id=clinic)) for _ in range(3)]
    [made] = await desk.settle()
    assert (made.entry_count, made.total_amount.amount, made.clinic_amount.amount) == (3, "750000.00", "675000.00")
    assert await desk.settle() == []
    for sale in sales:
        (fee,) = await world.entries(sale)
        assert (fee.status, str(fee.settlement_id)) == ("settled", made.id)
        assert fee.settlement_date == made.settled_at.ToDatetime(UTC)
    [done] = await world.rows("SELECT * FROM money_operations")
    assert (done.operator, done.verb, str(done.subject_id), done.reason) == (str(desk.admin), "settle", made.id, WHY)


async def test_two_who_settle_at_once_pay_once(world: World, desk: Desk) -> None:
    clinics = [new_id() for _ in range(3)]
    for clinic in clinics:
        await world.paid(Sale(clinic_id=clinic))
    now = datetime.now(UTC)
    told = await asyncio.gather(*(desk.settle(until=now) for _ in range(4)))
    assert sorted(made.clinic_id for each in told for made in each) == sorted(map(str, clinics))
    [paid] = await world.rows("SELECT sum(amount) AS sum FROM journal_lines WHERE account = 'payout_clearing'")
    assert paid.sum == -3 * 225000


async def test_the_later_of_two_who_settle_at_once_begins_where_the_earlier_ends(world: World) -> None:
    clinic = new_id()
    await world.paid(Sale(clinic_id=clinic))
    earlier = datetime.now(UTC)
    await world.paid(Sale(clinic_id=clinic))
    later = datetime.now(UTC)

    async def settle_later() -> Row | None:
        async with world.database.transaction() as tx:
            return await store_settlements.settle(tx, new_id(), clinic, "IDR", later)

    async with world.database.transaction() as tx:
        first = await store_settlements.settle(tx, new_id(), clinic, "IDR", earlier)
        waiting = asyncio.create_task(settle_later())
        await eventually(world.somebody_waits)
    second = await waiting
    assert first is not None
    assert second is not None
    assert (first.entry_count, second.entry_count) == (1, 1)
    assert (first.begins, first.until, second.begins, second.until) == (None, earlier, earlier, later)


async def test_who_settles_until_a_later_instant_waits_and_finds_nothing_left(world: World) -> None:
    sale, until = await world.paid(Sale()), datetime.now(UTC)

    async def settle(until: datetime, meanwhile: Callable[[], Awaitable[None]] | None = None) -> Row | None:
        async with world.database.transaction() as tx:
            made = await store_settlements.settle(tx, new_id(), sale.clinic_id, "IDR", until)
            if meanwhile:
                await meanwhile()
        return made

    late: list[asyncio.Task[Row | None]] = []

    async def another_comes() -> None:
        late.append(asyncio.create_task(settle(until + timedelta(seconds=1))))
        await eventually(world.somebody_waits)

    assert await settle(until, another_comes)
    assert await late[0] is None


async def test_an_instant_that_says_nothing_settles_nothing(world: World, desk: Desk) -> None:
    await world.paid(Sale())
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.run_settlements(datetime.fromtimestamp(0, UTC), dry_run=True)
    assert reason_of(refused.value) == "INVALID_REQUEST"


async def test_the_same_request_again_is_told_the_same(world: World, desk: Desk) -> None:
    await world.paid(Sale())
    until = datetime.now(UTC)
    made = await desk.run_settlements(until, request_id="november")
    await world.paid(Sale())
    assert len(made.settlements) == 1
    assert await desk.run_settlements(until, request_id="november") == made
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.run_settlements(datetime.now(UTC), request_id="november")
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"
    assert len(await desk.settle()) == 1


async def test_a_run_that_ended_halfway_is_told_again_as_far_as_it_came(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic = new_id()
    for sale in (Sale(clinic_id=clinic), Sale(clinic_id=clinic, price=Money(Decimal(10), "USD")), Sale()):
        await world.paid(sale)
    until, settle, left = datetime.now(UTC), settlements.settle, iter([True, False])

    async def settle_one(*asked: Any) -> Any:
        if not next(left):
            raise ConnectionError
        return await settle(*asked)

    monkeypatch.setattr(settlements, "settle", settle_one)
    with pytest.raises(aio.AioRpcError):
        await desk.run_settlements(until, request_id="november")
    monkeypatch.setattr(settlements, "settle", settle)
    [first] = await world.rows("SELECT id FROM settlements")
    again = await desk.run_settlements(until, request_id="november")
    assert ([each.id for each in again.settlements], again.has_more) == ([str(first.id)], True)
    rest = await desk.run_settlements(until, request_id="the rest of november")
    assert (len(rest.settlements), rest.has_more) == (2, False)


async def test_each_clinic_and_currency_is_settled_by_itself(world: World, desk: Desk) -> None:
    one, other = new_id(), new_id()
    await world.paid(Sale(clinic_id=one))
    await world.paid(Sale(clinic_id=one, price=Money(Decimal(3001), "JPY")))
    await world.paid(Sale(clinic_id=one, price=Money(Decimal("19.99"), "USD")))
    await world.paid(Sale(clinic_id=other))
    made = await desk.settle(one)
    assert {each.clinic_amount.currency_code: each.clinic_amount.amount for each in made} == {
        "IDR": "225000.00",
        "JPY": "2701.00",
        "USD": "17.99",
    }
    assert [each.clinic_id for each in await desk.settle()] == [str(other)]


async def test_a_refund_is_settled_once_its_money_is_gone(world: World, provider: PlayedProvider, desk: Desk) -> None:
    sale = await world.paid(Sale())
    await give_back(world, provider, sale, "100000")
    [first] = await desk.settle()
    assert (first.entry_count, first.clinic_amount.amount) == (1, "225000.00")
    provider.send_back(sale.refund_id)
    await world.work()
    await world.paid(Sale(clinic_id=sale.clinic_id))
    [second] = await desk.settle()
    assert (second.entry_count, second.clinic_amount.amount) == (2, "135000.00")
    assert second.begins == first.until


async def test_who_owes_more_than_they_earned_is_settled_later(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await world.paid(Sale())
    await desk.settle()
    await give_back(world, provider, sale, "250000")
    provider.send_back(sale.refund_id)
    await world.work()
    [owed] = await desk.settle(dry_run=True)
    assert owed.clinic_amount.amount == "-225000.00"
    assert await desk.settle() == []
    for _ in range(2):
        await world.paid(Sale(clinic_id=sale.clinic_id))
    [made] = await desk.settle()
    assert (made.entry_count, made.clinic_amount.amount) == (3, "225000.00")


async def test_everything_given_back_is_settled_without_a_payout(
    world: World, provider: PlayedProvider, desk: Desk
) -> None:
    sale = await world.paid(Sale())
    await give_back(world, provider, sale, "250000")
    provider.send_back(sale.refund_id)
    await world.work()
    [made] = await desk.settle()
    assert (made.entry_count, made.clinic_amount.amount) == (2, "0.00")
    assert [each.kind for each in await desk.journal() if each.kind == "settlement"] == []


async def test_what_is_only_foreseen_changes_nothing(world: World, desk: Desk) -> None:
    sale = await world.paid(Sale())
    [foreseen] = await desk.settle(dry_run=True)
    assert (foreseen.id, foreseen.clinic_amount.amount) == ("", "225000.00")
    assert [entry.status for entry in await world.entries(sale)] == ["pending"]


async def test_what_is_settled_stays_settled(world: World, desk: Desk) -> None:
    await world.paid(Sale())
    await desk.settle()
    with pytest.raises(IntegrityError, match="settled once"):
        await world.run("UPDATE financial_entries SET settlement_id = NULL")
    for change in ("UPDATE settlements SET clinic_amount = 0", "DELETE FROM money_operations"):
        with pytest.raises(IntegrityError, match="only added to"):
            await world.run(change)


async def test_a_period_that_has_not_ended_is_refused(world: World, desk: Desk) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.settle(until=datetime.now(UTC) + timedelta(hours=1))
    assert refused.value.code() is StatusCode.INVALID_ARGUMENT


async def test_a_statement_lists_every_entry_and_their_sums(world: World, desk: Desk) -> None:
    clinic = new_id()
    sales = [await world.paid(Sale(clinic_id=clinic, price=Money(Decimal(price), "USD"))) for price in (10, 20)]
    [made] = await desk.settle()
    file = await desk.statement(made.id, STATEMENT_FORMAT_CSV)
    assert (file.file_name, file.media_type) == (f"{made.id}.csv", "text/csv")
    *lines, last = csv.DictReader(io.StringIO(file.content))
    assert [line["booking"] for line in lines] == [str(sale.booking_id) for sale in sales]
    for column in ("total", "platform fee", "tax", "clinic"):
        assert sum(Decimal(line[column]) for line in lines) == Decimal(last[column])
    assert (last["type"], last["clinic"]) == ("sum", "27.00")
    page = await desk.statement(made.id, STATEMENT_FORMAT_HTML)
    assert page.media_type == "text/html"
    assert page.content.count("<tr") == len(lines) + 2
    assert "USD 27.00" in page.content


async def test_yen_have_no_cents_on_a_statement(world: World, desk: Desk) -> None:
    await world.paid(Sale(price=Money(Decimal(3001), "JPY")))
    [made] = await desk.settle()
    file = await desk.statement(made.id, STATEMENT_FORMAT_CSV)
    assert list(csv.DictReader(io.StringIO(file.content)))[-1]["clinic"] == "2701"


async def test_only_the_clinic_itself_sees_its_statements(world: World, desk: Desk) -> None:
    sale, owner, stranger = await world.paid(Sale()), new_id(), new_id()
    await _owns(world, owner, sale.clinic_id)
    [made] = await desk.settle()
    as_owner, as_stranger = (desk.as_(who, Role.CLINIC) for who in (owner, stranger))
    assert (await desk.statement(made.id, STATEMENT_FORMAT_CSV, as_owner)).content
    with pytest.raises(aio.AioRpcError) as refused:
        await desk.statement(made.id, STATEMENT_FORMAT_CSV, as_stranger)
    assert reason_of(refused.value) == "SETTLEMENT_NOT_FOUND"


async def _owns(world: World, owner: UUID, clinic_id: UUID) -> None:
    event = {"clinic_id": str(clinic_id), "owner_id": str(owner), "version": 1}
    async with world.database.transaction() as tx:
        await on_clinic_changed(tx, event)
