"""CancelPayment: before, after and in the middle of TakePayment, and what it gives back."""

from dataclasses import replace
from decimal import Decimal

import pytest

from petpro.payment.v1 import commands_pb2
from petpro_payment.domain import Origin, PaymentStatus, RefundStatus
from petpro_payment.outcomes import CalledOff
from petpro_payment.providers.provider import Asked
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PENDING, PRICE, QUICK, REFUSED, SUCCEEDED, Sale, World


def returned(payload: bytes) -> Decimal:
    """What a PaymentCancelled gives back."""
    return Decimal(commands_pb2.PaymentCancelled.FromString(payload).refund_amount.amount)


async def test_called_off_before_the_order_came(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    assert returned((await world.order(sale.cancel())).payload) == 0
    late = await world.order(sale.take())
    assert (late.outcome, late.reason) == (REFUSED, "CALLED_OFF")
    await world.work()
    assert provider.payments == {}


async def test_called_off_before_the_provider_was_asked(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take())
    assert (await world.order(sale.cancel())).outcome == SUCCEEDED
    await world.work()
    assert provider.payments == {}
    assert (await world.payment(sale)).status is PaymentStatus.CANCELLED
    assert (await world.answer(sale.take())).reason == "CALLED_OFF"


async def test_called_off_while_unknown_gives_back_what_turns_out_taken(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.mute = True
    await world.order(sale.take())
    await world.one_step()
    assert (await world.order(sale.cancel())).outcome == PENDING
    provider.mute = False
    await world.one_step()
    assert returned((await world.answer(sale.cancel())).payload) == PRICE.amount
    assert (await world.answer(sale.take())).reason == "CALLED_OFF"
    (refund,) = await world.refunds(sale)
    assert (refund.origin, refund.amount, refund.must_succeed) == (Origin.CALLED_OFF, PRICE.amount, True)
    await world.one_step()
    provider.send_back(refund.id)
    await world.work()
    assert (await world.payment(sale)).status is PaymentStatus.REFUNDED
    assert await world.events(sale) == ["payment.captured", "refund.submitted", "refund.succeeded"]
    assert await world.entries(sale) == []


async def test_called_off_while_unknown_and_never_arrived(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.deaf = True
    await world.order(sale.take())
    await world.one_step()
    assert (await world.order(sale.cancel())).outcome == PENDING
    provider.deaf = False
    await world.one_step(replace(QUICK, not_found_grace=600.0))
    assert (await world.answer(sale.cancel())).outcome == PENDING, "the order may still be on its way"
    await world.work()
    assert returned((await world.answer(sale.cancel())).payload) == 0
    assert provider.charges == []


async def test_called_off_while_a_worker_is_asking(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take())
    (claimed,) = await world.worker().claim(5)
    assert (await world.order(sale.cancel())).outcome == PENDING
    await world.worker().step(claimed)
    assert returned((await world.answer(sale.cancel())).payload) == PRICE.amount
    assert len(await world.refunds(sale)) == 1


async def test_called_off_while_a_worker_hears_that_the_customer_has_yet_to_pay_it_is_ended_at_once(
    world: World, provider: PlayedProvider
) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    (claimed,) = await world.worker().claim(5)
    await world.order(sale.cancel())
    assert await world.worker().step(claimed) == 0.0
    await world.worker().round()
    assert (await world.payment(sale)).status is PaymentStatus.CANCELLED


async def test_called_off_while_the_customer_has_yet_to_pay(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    await world.order(sale.cancel())
    await world.work()
    assert returned((await world.answer(sale.cancel())).payload) == 0
    assert (await world.payment(sale)).status is PaymentStatus.CANCELLED


async def test_what_the_provider_has_taken_by_then_is_given_back_and_not_cancelled_there(
    world: World, provider: PlayedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider may undo a capture that it is told to cancel, while our books say that the money was taken."""
    cancelled: list[Asked] = []

    async def cancel(asked: Asked) -> CalledOff:
        cancelled.append(asked)
        return CalledOff(asked.external_reference or "")

    monkeypatch.setattr(provider, "cancel_payment", cancel)
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    await world.order(sale.cancel())
    provider.take(sale.payment_id, PRICE)
    await world.one_step()
    assert cancelled == []
    assert returned((await world.answer(sale.cancel())).payload) == PRICE.amount


async def test_called_off_after_the_money_was_taken_twice(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take())
    await world.work()
    for command_id in ("", "", "an operator again"):
        answer = await world.order(sale.cancel(), command_id=command_id)
        assert returned(answer.payload) == PRICE.amount
    (refund,) = await world.refunds(sale)
    assert refund.status is RefundStatus.SUBMITTED
    assert (await world.order(sale.take(), command_id="too late")).reason == "CALLED_OFF"
