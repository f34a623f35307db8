"""The auditor on payment's own rows and a provider's word, which it has by way of payment: each lie has its name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from google.protobuf.json_format import MessageToDict

from devstack.testing import MakeDatabase
from petpro.payment.v1.reconciliation_pb2 import MovementKind
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment.outcomes import Captured, RefundFailed, RefundOutcome
from petpro_payment.providers.movements import Kind, Movement, Page, Span, State
from petpro_payment.providers.provider import RefundOrder
from petproctl.audit.databases import Databases
from petproctl.audit.lists import Moved, moved_of
from petproctl.audit.look import Look, Scope
from petproctl.audit.movements import captures_agree_with_lists, refunds_agree_with_lists
from petproctl.audit.provider import Sandbox
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PRICE, Sale, World

NOW = timedelta(0)


@dataclass
class Listing(PlayedProvider):
    """Lists what it took, and gave back at once."""

    given: dict[str, Money] = field(default_factory=dict)
    foreign: str = ""
    """What it calls money of another business, in a currency that we never take."""

    capabilities = replace(PlayedProvider.capabilities, lists=True)

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        await super().create_refund(order)
        self.given[str(order.reference)] = order.money
        return self.send_back(order.reference)

    async def list_movements(self, span: Span) -> Page:
        now = datetime.now(UTC)
        if span.kind is Kind.REFUND:
            found = [self._given(reference, money, now) for reference, money in self.given.items()]
        else:
            taken = {
                reference: outcome for reference, outcome in self.payments.items() if isinstance(outcome, Captured)
            }
            found = [
                Movement(
                    Kind.CAPTURE, str(reference), outcome.external_reference, State.DONE, outcome.money, outcome.paid_at
                )
                for reference, outcome in taken.items()
            ]
        if self.foreign:
            found.append(Movement(span.kind, "", self.foreign, State.DONE, None, now))
        return Page(found, "")

    def _given(self, reference: str, money: Money, at: datetime) -> Movement:
        match self.refunds.get(UUID(reference)):
            case RefundFailed(external):
                return Movement(Kind.REFUND, reference, external, State.FAILED, money, at)
            case _:
                return Movement(Kind.REFUND, reference, f"re_{reference}", State.DONE, money, at)


@dataclass
class PaymentsAnswers:
    """What the auditor hears: payment's own answers, fetched on the test's loop."""

    desk: Desk
    loop: asyncio.AbstractEventLoop
    has: bool = True
    """Payment has the provider."""

    def moved(self, provider: str, kind: str, begins: datetime, ends: datetime) -> list[Moved] | None:
        if not self.has:
            return None
        asked = {"provider": provider, "kind": MovementKind.Value(f"MOVEMENT_KIND_{kind}"), "page_size": 100}
        answer = asyncio.run_coroutine_threadsafe(self.desk.movements(**asked, since=begins, until=ends), self.loop)
        movements = answer.result(10).movements
        return [moved_of(MessageToDict(each, preserving_proto_field_name=True)) for each in movements]


@dataclass
class Auditor:
    """Looks at captures and refunds; subjects with what is wrong."""

    dsn: str
    answers: PaymentsAnswers

    async def finds(self, *only: str, grace: timedelta = NOW) -> dict[str, str]:
        return await asyncio.to_thread(self._look, only, grace)

    def _look(self, only: tuple[str, ...], grace: timedelta) -> dict[str, str]:
        never = Sandbox(None)  # type: ignore[arg-type]  # nobody asks the sandbox here
        with ExitStack() as open_things:
            databases = Databases({"payment": self.dsn}, open_things)
            look = Look(databases, never, Scope(None, grace), self.answers, only or None)
            return dict([*captures_agree_with_lists(look), *refunds_agree_with_lists(look)])


@pytest.fixture(params=[PlayedProvider, Listing])
def provider(request: pytest.FixtureRequest) -> PlayedProvider:
    """One that is asked about each row, and one that lists."""
    made: PlayedProvider = request.param()
    return made


@pytest.fixture
async def auditor(database: MakeDatabase, provider: PlayedProvider, tmp_path: Path) -> AsyncIterator[Auditor]:
    made = await database("payment")
    pool = Database(made.url, made.password, pool_size=10)
    async with open_desk(World(pool, {"played": provider}, "played"), tmp_path) as desk:
        yield Auditor(made.dsn, PaymentsAnswers(desk, asyncio.get_running_loop()))
    await pool.close()


async def refunded(world: World, provider: PlayedProvider) -> Sale:
    """All of it is at rest, and both sides say the same."""
    sale = await world.paid(Sale())
    for order in (sale.fee(), sale.reserve("100000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await world.order(order)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    return sale


async def test_who_says_the_same_is_not_named(auditor: Auditor, provider: PlayedProvider) -> None:
    await refunded(auditor.answers.desk.world, provider)
    assert await auditor.finds() == {}


async def test_money_that_the_provider_has_not_is_named(auditor: Auditor, provider: PlayedProvider) -> None:
    sale = await refunded(auditor.answers.desk.world, provider)
    forget(provider, sale)
    found = await auditor.finds()
    assert found.keys() == {str(sale.payment_id), str(sale.refund_id)}
    today = datetime.now(UTC).date()
    assert found[str(sale.payment_id)] == (
        f"played, {today}: it took nothing; payments: IDR 250000.00; the journal: IDR 250000.00"
    )
    assert await auditor.finds(*found) == found
    assert await auditor.finds(grace=timedelta(minutes=5)) == {}


async def test_another_amount_and_another_state_are_named(auditor: Auditor, provider: PlayedProvider) -> None:
    world = auditor.answers.desk.world
    sale = await refunded(world, provider)
    provider.payments[sale.payment_id] = Captured("pi", Money(Decimal(9), "IDR"), datetime.now(UTC))
    provider.refunds[sale.refund_id] = RefundFailed("re", "account_closed")
    if isinstance(provider, Listing):
        provider.given[str(sale.refund_id)] = Money(Decimal(7), "IDR")
    found = await auditor.finds()
    assert "it took IDR 9.00; payments: IDR 250000.00" in found[str(sale.payment_id)]
    assert "our refund of 100000.00 is succeeded" in found[str(sale.refund_id)]


async def test_what_failed_there_and_was_tried_again_is_not_named(auditor: Auditor, provider: PlayedProvider) -> None:
    world = auditor.answers.desk.world
    sale = await refunded(world, provider)
    provider.refunds[sale.refund_id] = RefundFailed("re_first", "account_closed")
    assert (await auditor.finds()).keys() == {str(sale.refund_id)}
    await world.run("UPDATE refunds SET retries = 1")
    assert await auditor.finds() == {}


async def test_what_falls_on_two_days_by_two_clocks_is_found_around_it(
    auditor: Auditor, provider: PlayedProvider
) -> None:
    world = auditor.answers.desk.world
    await refunded(world, provider)
    await world.run("UPDATE payments SET paid_at = paid_at - interval '1 day'")
    await world.run("UPDATE refunds SET updated_at = updated_at - interval '1 day'")
    assert await auditor.finds() == {}


async def test_only_a_list_shows_money_that_nobody_here_knows_of(auditor: Auditor, provider: PlayedProvider) -> None:
    await refunded(auditor.answers.desk.world, provider)
    taken, given = new_id(), new_id()
    provider.take(taken, PRICE)
    if isinstance(provider, Listing):
        provider.given[str(given)] = PRICE
    found = await auditor.finds()
    today = datetime.now(UTC).date()
    named = {f"played {today} {taken}", f"played {today} {given}"} if isinstance(provider, Listing) else set()
    assert found.keys() == named
    assert await auditor.finds(*found) == found


async def test_money_of_another_business_is_named_without_its_amount(
    auditor: Auditor, provider: PlayedProvider
) -> None:
    await refunded(auditor.answers.desk.world, provider)
    if isinstance(provider, Listing):
        provider.foreign = "ch_17"
        today = datetime.now(UTC).date()
        assert await auditor.finds() == {
            f"played {today} ch_17": f"played, {today}: it gives something back, succeeded; no refund of ours"
        }


async def test_a_provider_that_payment_no_longer_has_is_not_asked(auditor: Auditor, provider: PlayedProvider) -> None:
    world = auditor.answers.desk.world
    sale = await refunded(world, provider)
    forget(provider, sale)
    auditor.answers.has = False
    assert await auditor.finds() == {}


def forget(provider: PlayedProvider, sale: Sale) -> None:
    """The provider has never heard of it."""
    del provider.payments[sale.payment_id], provider.refunds[sale.refund_id]
    if isinstance(provider, Listing):
        del provider.given[str(sale.refund_id)]
