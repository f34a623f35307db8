"""Payments that the clinic takes: no provider is asked, nothing is posted, and nothing can be given back."""

from decimal import Decimal

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Database
from petpro_common.messaging.participant import Refused
from petpro_payment.consumer import command_handlers
from petpro_payment.domain import PaymentStatus
from petpro_payment.payments import AT_CLINIC
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import REFUSED, SUCCEEDED, Sale, World


async def test_a_booking_stands_without_any_money_of_ours(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    for command_id in ("", "", "another saga"):
        said = await world.order(sale.take("", AT_CLINIC), command_id=command_id)
        assert commands_pb2.PaymentTaken.FromString(said.payload).at_clinic
    assert (await world.order(sale.fee())).outcome == SUCCEEDED
    await world.work()
    noted = await world.payment(sale)
    assert (noted.status, noted.provider, noted.captured) == (PaymentStatus.AT_CLINIC, AT_CLINIC, Decimal(0))
    assert (provider.payments, await world.entries(sale), await world.events(sale)) == ({}, [], [])


async def test_nothing_can_be_given_back(world: World) -> None:
    sale = Sale()
    await world.order(sale.take("", AT_CLINIC))
    refused = await world.order(sale.reserve("100000"))
    assert (refused.outcome, refused.reason) == (REFUSED, "PAYMENT_NOT_CAPTURED")


async def test_called_off_before_and_after(world: World) -> None:
    early, late = Sale(), Sale()
    await world.order(early.cancel())
    assert (await world.order(early.take("", AT_CLINIC))).reason == "CALLED_OFF"
    await world.order(late.take("", AT_CLINIC))
    cancelled = commands_pb2.PaymentCancelled.FromString((await world.order(late.cancel())).payload)
    assert Decimal(cancelled.refund_amount.amount) == 0
    assert (await world.payment(late)).status is PaymentStatus.CANCELLED
    assert (await world.order(late.take("", AT_CLINIC), command_id="too late")).outcome == REFUSED


async def test_where_it_is_not_offered_it_is_refused(pool: Database, provider: PlayedProvider) -> None:
    handlers = command_handlers(provider.capabilities, Decimal(0), pay_at_clinic=False)
    sale = Sale()
    async with pool.transaction() as tx:
        answer = await handlers[commands_pb2.TakePayment](tx, "a command", sale.take("", AT_CLINIC))  # type: ignore[operator]
    assert answer == Refused("PAYMENT_METHOD_NOT_OFFERED")
