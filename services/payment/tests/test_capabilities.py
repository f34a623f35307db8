"""What a provider declares decides before it is asked; and what it said is kept, whoever began to talk."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from petpro_common.money import Money
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.providers.capabilities import Method
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import REFUSED, SUCCEEDED, Sale, World


@pytest.mark.parametrize(
    ("sale", "method", "reason"),
    [
        (Sale(), "barter", "PAYMENT_METHOD_NOT_OFFERED"),
        (Sale(price=Money(Decimal(10), "CHF")), "card", "CURRENCY_NOT_OFFERED"),
    ],
)
async def test_what_the_provider_cannot_take_is_refused_before_it_is_asked(
    world: World, provider: PlayedProvider, sale: Sale, method: str, reason: str
) -> None:
    answer = await world.order(sale.take(method=method))
    assert (answer.outcome, answer.reason) == (REFUSED, reason)
    await world.work()
    paid = await world.payment(sale)
    assert (paid.status, paid.failure_reason, provider.payments) == (PaymentStatus.FAILED, reason, {})
    assert await world.events(sale) == ["payment.failed"]


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize(
    ("card", "cause"),
    [
        (Method(refundable=False), "METHOD_NOT_REFUNDABLE"),
        (Method(partial=False), "NO_PARTIAL_REFUNDS"),
        (Method(refund_window=timedelta(0)), "REFUND_WINDOW_OVER"),
        (Method(), "AMOUNT_TOO_FINE"),
    ],
)
async def test_a_refund_that_the_provider_cannot_make_goes_to_a_person_whatever_dies(
    world: World, provider: PlayedProvider, card: Method, cause: str, dies: bool
) -> None:
    sale = await world.paid(Sale())
    provider.capabilities = replace(provider.capabilities, methods={"card": card}, currencies={"IDR": 0})
    await world.order(sale.reserve("100000.50" if cause == "AMOUNT_TOO_FINE" else "100000"))
    await world.order(sale.submit())
    if dies:
        await world.worker().claim(1)
    await world.one_step()
    (refund,) = await world.refunds(sale)
    assert (refund.status, refund.failure_reason, provider.refunds) == (RefundStatus.MANUAL, cause, {})
    assert (await world.answer(sale.submit())).outcome == SUCCEEDED


async def test_a_window_that_closes_over_a_lost_answer_leaves_the_refund_with_the_provider(
    world: World, provider: PlayedProvider
) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("100000"))
    await world.order(sale.submit())
    provider.mute = True
    await world.one_step()
    made, provider.mute = provider.refunds.copy(), False
    provider.refunds.clear()  # not listed yet
    (refund,), paid_at = await world.refunds(sale), (await world.payment(sale)).paid_at
    assert paid_at
    card = Method(refund_window=refund.created_at - paid_at)
    provider.capabilities = replace(provider.capabilities, methods={"card": card})
    await world.one_step()
    (refund,) = await world.refunds(sale)
    assert (refund.status, provider.refunds) == (RefundStatus.PENDING, made)


async def test_whatever_state_a_provider_brought_about_has_its_event(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.deaf = True
    await world.order(sale.take())
    await world.one_step()
    await world.one_step()
    provider.deaf = False
    await world.work()
    for order in (sale.fee(), sale.reserve("250000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await world.order(order)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    told = await world.rows(
        "SELECT type, reference, disposition, source, payload FROM provider_events ORDER BY received_at"
    )
    assert [event.type for event in told] == ["Unknown", "Captured", "RefundAccepted", "RefundSucceeded"]
    assert {(event.disposition, event.source) for event in told} == {("applied", "answer")}
    assert told[1].payload["money"] == {"amount": "250000.00", "currency": "IDR"}


async def test_what_the_customer_has_to_do_is_not_kept_for_ever(world: World, provider: PlayedProvider) -> None:
    provider.waits_for_customer = True
    sale = Sale()
    await world.order(sale.take())
    await world.one_step()
    assert (await world.payment(sale)).payment_details == {"customer_action": "scan me"}
    (told,) = await world.rows("SELECT type, payload FROM provider_events")
    assert (told.type, told.payload) == ("Processing", {"external_reference": f"pi_{sale.payment_id}"})
