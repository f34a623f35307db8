"""Every verb that moves money leaves who did it and why, where nobody can change it.

The verbs are those of the contracts: each RPC of payment that is no GET, and each order that payment takes. A new one
fails here until it is played, and leaves something.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import MethodDescriptor
from psycopg import IntegrityError

from petpro.payment.v1 import commands_pb2, ledger_pb2, operations_pb2, payment_pb2, reconciliation_pb2
from petpro_common.money import Money
from petpro_payment import settlements
from petpro_payment.consumer import command_handlers
from petpro_payment.outcomes import Captured
from petpro_payment.providers.provider import ProviderEvent
from petpro_payment.servicer import PaymentServicer
from services.payment.tests.desk import Desk, open_desk
from services.payment.tests.money_model import Telling
from services.payment.tests.test_money_queue import stuck
from services.payment.tests.world import Sale, World

FOR_EVER = {
    "money_operations": "SELECT subject_id, operator AS who, reason AS why FROM money_operations",
    "money_orders": "SELECT subject_id, ordered_by AS who, reason AS why FROM money_orders",
    "provider_events": "SELECT CAST(reference AS uuid) AS subject_id, provider AS who, type AS why FROM provider_events"
    " WHERE source = 'webhook'",
}
"""Where who and why are kept, by whom: persons, sagas, providers."""


@pytest.fixture
def provider() -> Telling:
    return Telling()


@pytest.fixture
async def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(settlements, "IN_FLIGHT", timedelta(0))
    async with open_desk(world, tmp_path) as desk:
        yield desk


async def settle(world: World, provider: Telling, desk: Desk) -> UUID:
    await world.paid(Sale())
    [made] = await desk.settle()
    return UUID(made.id)


async def pay_out(world: World, provider: Telling, desk: Desk) -> UUID:
    sale = await stuck(world, provider)
    await desk.pay_out(sale.refund_id)
    return sale.refund_id


async def retry(world: World, provider: Telling, desk: Desk) -> UUID:
    sale = await stuck(world, provider)
    await desk.retry(sale.refund_id)
    return sale.refund_id


async def close_quarantine(world: World, provider: Telling, desk: Desk) -> UUID:
    sale, provider.takes_instead = Sale(), Money(Decimal(1), "IDR")
    await world.order(sale.take())
    await world.work()
    await desk.close_quarantine(sale)
    return sale.payment_id


async def receive_webhook(world: World, provider: Telling, desk: Desk) -> UUID:
    sale = Sale()
    await world.order(sale.take())
    told = Captured("pi", sale.price, (await world.payment(sale)).now)
    provider.events[b"it"] = ProviderEvent("ev_1", "payment.captured", str(sale.payment_id), told, False, {})
    servicer = PaymentServicer(world.database, world.under_lock, cast(Any, None), world.providers)
    request = payment_pb2.ReceiveWebhookRequest(provider="played")
    request.body.data = b"it"
    await servicer.ReceiveWebhook(request, cast(Any, SimpleNamespace(invocation_metadata=lambda: ())))
    return sale.payment_id


Play = Callable[[World, Telling, Desk], Awaitable[UUID]]
PLAYED: Mapping[str, tuple[Play, str]] = {
    "LedgerService.RunSettlements": (settle, "money_operations"),
    "MoneyQueueService.PayOutRefund": (pay_out, "money_operations"),
    "MoneyQueueService.RetryRefund": (retry, "money_operations"),
    "MoneyQueueService.CloseQuarantine": (close_quarantine, "money_operations"),
    "PaymentService.ReceiveWebhook": (receive_webhook, "provider_events"),
}
"""Each act by what it is called in the contracts: how it is played, giving what it is about, and where it is kept."""


def is_read(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().Extensions[annotations_pb2.http].WhichOneof("pattern") == "get")


def acts() -> set[str]:
    files = (ledger_pb2, operations_pb2, payment_pb2, reconciliation_pb2)
    services = [each for file in files for each in file.DESCRIPTOR.services_by_name.values()]
    return {f"{each.name}.{method.name}" for each in services for method in each.methods if not is_read(method)}


def test_no_act_is_forgotten() -> None:
    assert acts() == set(PLAYED)


@pytest.mark.parametrize("act", PLAYED)
async def test_an_act_leaves_who_and_why(world: World, provider: Telling, desk: Desk, act: str) -> None:
    play, table = PLAYED[act]
    subject = await play(world, provider, desk)
    [kept] = [row for row in await world.rows(FOR_EVER[table]) if row.subject_id == subject]
    assert kept.who == (str(desk.admin) if table == "money_operations" else "played")
    assert kept.why
    await nobody_can_change(world, table)


async def test_every_order_of_a_saga_leaves_who_and_why(world: World, provider: Telling) -> None:
    sale, off, other = Sale(), Sale(), Sale()
    story = [sale.take(), sale.fee(), sale.reserve("1000"), sale.refund_entry(), sale.submit(), sale.settle()]
    undone = [off.take(), off.fee(), off.reserve("1000"), off.refund_entry(), off.cancel_entry(), off.release()]
    cancelled = other.cancel()
    cancelled.reason = "SLOT_TAKEN"
    orders = [*story, *undone, cancelled]
    for order in orders:
        await world.order(order)
        if isinstance(order, commands_pb2.TakePayment):
            await world.one_step()
    handled = command_handlers(provider.capabilities, Decimal(0))
    assert {type(order) for order in orders} == set(handled), "an order that is not played here"

    kept = {row.ordered_by: row for row in await world.rows("SELECT * FROM money_orders")}
    assert {(row.verb, row.ordered_by) for row in kept.values()} == {
        (order.DESCRIPTOR.name, f"{order.DESCRIPTOR.name}-{about(order)}") for order in orders
    }
    assert all(str(row.subject_id) == about(order) for order in orders for row in [kept[command_id(order)]])
    assert kept[command_id(cancelled)].reason == "SLOT_TAKEN"
    assert kept[command_id(sale.reserve("1000"))].reason == "the dog is well again"
    assert kept[command_id(sale.take())].reason == f"booking {sale.booking_id}"
    await nobody_can_change(world, "money_orders")


def about(order: Any) -> str:
    return str(getattr(order, "entry_id", "") or getattr(order, "refund_id", "") or order.payment_id)


def command_id(order: Any) -> str:
    return f"{order.DESCRIPTOR.name}-{about(order)}"


async def test_what_was_refused_moved_nothing_and_copies_are_one(world: World) -> None:
    sale = await world.paid(Sale())
    for _ in range(2):
        await world.order(sale.reserve("250001"))
        await world.order(sale.reserve("1", sale.entry_id))
    verbs = [row.verb for row in await world.rows("SELECT verb FROM money_orders ORDER BY id")]
    assert verbs == ["TakePayment", "PostBookingFee", "ReserveRefund"]


async def test_every_contract_of_an_order_is_handled(provider: Telling) -> None:
    """The messages of commands.proto are orders and their results; a result belongs to an order."""
    messages = commands_pb2.DESCRIPTOR.message_types_by_name
    results = {
        "PaymentTaken",
        "PaymentCancelled",
        "BookingFeePosted",
        "RefundReserved",
        "RefundReleased",
        "RefundEntryPosted",
        "RefundEntryCancelled",
        "RefundSubmitted",
        "RefundEntrySettled",
    }
    orders = {kind.DESCRIPTOR.name for kind in command_handlers(provider.capabilities, Decimal(0))}
    assert set(messages) == orders | results


@pytest.mark.parametrize("change", ["amount = 1", "reason = 'another'", "booking_id = gen_random_uuid()"])
async def test_a_refund_stays_as_it_was_ordered(world: World, change: str) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("1000"))
    with pytest.raises(IntegrityError, match="as it was ordered"):
        await world.run(f"UPDATE refunds SET {change}")  # noqa: S608  # of this test's own


async def nobody_can_change(world: World, table: str) -> None:
    column = {"money_operations": "operator", "money_orders": "ordered_by", "provider_events": "provider"}[table]
    for change in (f"UPDATE {table} SET {column} = 'nobody'", f"DELETE FROM {table}", f"TRUNCATE {table}"):  # noqa: S608
        with pytest.raises(IntegrityError, match=r"only added to|kept as it was"):
            await world.run(change)
