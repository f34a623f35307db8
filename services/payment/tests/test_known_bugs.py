"""Faults that other systems were seen to have with money, each as a test of ours."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest
from psycopg import IntegrityError

from petpro.payment.v1 import commands_pb2
from petpro_common.ids import new_id
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.outcomes import Captured
from services.payment.tests.played import PlayedProvider
from services.payment.tests.test_journal import balances
from services.payment.tests.world import PENDING, REFUSED, SUCCEEDED, Sale, World


async def test_refund_row_deleted_on_time_out_leading_to_a_second_refund(
    world: World, provider: PlayedProvider
) -> None:
    """The provider made it, and its answer was lost: the row stays, and the same refund is found there."""
    sale = await world.paid(Sale())
    await world.order(sale.reserve("250000"))
    provider.mute = True
    await world.order(sale.submit())
    await world.one_step()
    (refund,) = await world.refunds(sale)
    assert refund.status is RefundStatus.UNKNOWN
    for delete in ("DELETE FROM refunds", "TRUNCATE refunds CASCADE"):
        with pytest.raises(IntegrityError, match="never deleted"):
            await world.run(delete)
    assert (await world.order(sale.reserve("250000", new_id()))).reason == "REFUND_EXCEEDS_PAYMENT"
    provider.mute = False
    provider.send_back(sale.refund_id)
    await world.work()
    assert list(provider.refunds) == [sale.refund_id]
    assert (await world.payment(sale)).refund_done == 250000


async def test_two_full_refunds_both_accepted(world: World) -> None:
    sale = await world.paid(Sale())
    answers = await asyncio.gather(*(world.order(sale.reserve("250000", new_id())) for _ in range(2)))
    assert sorted(answer.outcome for answer in answers) == sorted([SUCCEEDED, REFUSED])
    assert len(await world.refunds(sale)) == 1


async def test_double_capture_ending_in_a_refund(world: World, provider: PlayedProvider) -> None:
    """What the provider tells twice was taken once, and stays: no second capture, and nothing goes back."""
    sale = Sale()
    await world.order(sale.take())
    worker = world.worker()
    [asked] = await worker.claim(1)
    told = await worker.asking.about_payment(asked)  # type: ignore[arg-type]  # a payment
    assert isinstance(told, Captured)
    for _ in range(3):
        await world.worker().record_payment(asked, told)  # type: ignore[arg-type]  # a payment
    assert provider.charges == [sale.payment_id]
    assert (await world.payment(sale)).status is PaymentStatus.SUCCESS
    assert await world.refunds(sale) == []
    assert await balances(world, sale) == {"provider_clearing": 250000, "customer_liability": -250000}


async def test_capture_while_unknown(world: World, provider: PlayedProvider) -> None:
    """As long as nobody can say what the first attempt did, there is no second one, in whatever way it is ordered."""
    sale = Sale()
    provider.mute = True
    await world.order(sale.take())
    await world.one_step()
    provider.deaf = True
    for number in range(3):
        assert (await world.order(sale.take(), command_id=f"again-{number}")).outcome == PENDING
        await world.one_step()
    assert (await world.payment(sale)).status is PaymentStatus.UNKNOWN
    provider.deaf = provider.mute = False
    await world.work()
    assert provider.charges == [sale.payment_id]
    assert (await world.payment(sale)).status is PaymentStatus.SUCCESS


async def test_fifty_partial_refunds_at_once_never_exceed_the_payment(world: World, provider: PlayedProvider) -> None:
    """All the way to the provider: as many as fit are made, and the journal is left with the rest."""
    sale = await world.paid(Sale())
    refund_ids = [new_id() for _ in range(50)]
    answers = await asyncio.gather(*(world.order(sale.reserve("7000", each)) for each in refund_ids))
    accepted = [each for each, answer in zip(refund_ids, answers, strict=True) if answer.outcome == SUCCEEDED]
    assert len(accepted) == 35
    await asyncio.gather(*(world.order(submission(sale, each), command_id=str(each)) for each in accepted))
    while len(provider.refunds) < len(accepted):
        await world.one_step()
    for each in accepted:
        provider.send_back(each)
    await world.work()
    payment = await world.payment(sale)
    assert (payment.refund_done, payment.refund_reserved) == (Decimal(245000), Decimal(0))
    assert (await balances(world, sale))["provider_clearing"] == 5000


def submission(sale: Sale, refund_id: UUID) -> commands_pb2.SubmitRefund:
    order = sale.submit()
    order.refund_id = str(refund_id)
    return order
