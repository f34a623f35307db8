"""The real SDK of Stripe against localstripe in a process of its own: a smoke test of what localstripe can do.

It ignores idempotency keys, gives back more than was taken, and tells nothing of refunds; such events are made here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe

from devstack.sandbox.testing import Letterbox
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment import webhooks
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.errors import BadSignature, BadWebhook
from petpro_payment.outcomes import RefundLater, RefundSucceeded
from petpro_payment.providers.movements import Kind, State
from petpro_payment.providers.provider import Asked, PaymentOrder, RefundOrder
from petpro_payment.providers.stripe import StripeProvider, open_stripe
from services.payment.tests.localstripe.process import (
    ASKS_FOR_MORE,
    DECLINED,
    GOOD,
    SECRET_KEY,
    WEBHOOK_SECRET,
    LocalStripe,
)
from services.payment.tests.stripe_shop import event_about, intent, listed, signed
from services.payment.tests.world import PRICE, REFUSED, SUCCEEDED, Sale, World


@pytest.fixture(scope="module")
def heard() -> Iterator[Letterbox]:
    with Letterbox() as heard:
        yield heard


@pytest.fixture(scope="module")
def localstripe(heard: Letterbox) -> Iterator[LocalStripe]:
    with LocalStripe(heard.url) as localstripe:
        yield localstripe


@pytest.fixture
async def provider(localstripe: LocalStripe) -> AsyncIterator[StripeProvider]:
    async with open_stripe(localstripe.url, SECRET_KEY, WEBHOOK_SECRET, 5.0) as provider:
        yield provider


@pytest.fixture
def shop(pool: Database, provider: StripeProvider) -> World:
    """The service over the real adapter and its SDK."""
    return World(pool, {"stripe": provider}, "stripe")


@pytest.mark.parametrize("price", [PRICE, Money(Decimal("19.99"), "USD"), Money(Decimal(1200), "JPY")])
async def test_a_card_is_charged_and_part_of_it_given_back(shop: World, localstripe: LocalStripe, price: Money) -> None:
    sale = await shop.paid(Sale(price=price), localstripe.card(GOOD))
    paid = await shop.payment(sale)
    assert (paid.status, paid.captured) == (PaymentStatus.SUCCESS, price.amount)
    for order in (sale.reserve("5.00"), sale.refund_entry(), sale.submit(), sale.settle()):
        await shop.order(order)
    await shop.work()
    assert (await shop.answer(sale.settle())).outcome == SUCCEEDED
    assert (await shop.payment(sale)).status is PaymentStatus.PARTIALLY_REFUNDED


async def test_a_card_is_declined(shop: World, localstripe: LocalStripe) -> None:
    sale, token = Sale(), localstripe.card(DECLINED)
    await shop.order(sale.take(token))
    await shop.work()
    answer = await shop.answer(sale.take(token))
    assert (answer.outcome, answer.reason) == (REFUSED, "CARD_DECLINED")


async def test_a_token_that_stripe_does_not_know_is_refused(shop: World) -> None:
    sale = Sale()
    await shop.order(sale.take("pm_of_nobody"))
    await shop.work()
    assert (await shop.answer(sale.take())).reason == "PAYMENT_REFUSED"


async def test_a_bank_that_asks_for_more_is_waited_for_and_called_off(shop: World, localstripe: LocalStripe) -> None:
    sale = Sale()
    await shop.order(sale.take(localstripe.card(ASKS_FOR_MORE)))
    await shop.one_step()
    waiting = await shop.payment(sale)
    assert waiting.status is PaymentStatus.PROCESSING
    assert (waiting.payment_details or {})["customer_action"].startswith(f"{waiting.external_reference}_secret_")
    await shop.order(sale.cancel())
    await shop.work()
    assert (await shop.payment(sale)).status is PaymentStatus.CANCELLED


async def test_a_lost_answer_is_found_by_our_reference(
    shop: World, provider: StripeProvider, localstripe: LocalStripe
) -> None:
    sale = Sale()
    await shop.order(sale.take(localstripe.card(GOOD)))
    (claimed,) = await shop.worker().claim(5)
    await shop.worker().asking.about_payment(claimed)  # type: ignore[arg-type]  # it is a payment
    await shop.one_step()
    assert (await shop.answer(sale.take())).outcome == SUCCEEDED
    intents = await provider._intents.list_async({"limit": 100})
    assert [each.metadata["reference"] for each in intents.data].count(str(sale.payment_id)) == 1


async def test_an_order_is_looked_for_in_all_the_time_in_which_it_may_have_reached_stripe(
    provider: StripeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """localstripe lists whatever there is. What is not found is ordered again, and Stripe forgets a key after a day."""
    asked: list[dict[str, int]] = []

    async def listed(query: Any) -> Any:
        asked.append(query["created"])
        told = {"object": "list", "url": "/v1/payment_intents", "has_more": False, "data": []}
        return stripe.ListObject.construct_from(told, "a key")

    monkeypatch.setattr(provider._intents, "list_async", listed)
    last = datetime.now(UTC)
    first = last - timedelta(hours=3)
    assert await provider.find_payment(Asked(new_id(), None, first, last)) is None
    [within] = asked
    assert within["gte"] <= first.timestamp() - 30
    assert within["lte"] >= last.timestamp() + 30  # its clock is not ours


async def test_its_own_webhook_is_believed(shop: World, localstripe: LocalStripe, heard: Letterbox) -> None:
    sale = Sale()
    await shop.order(sale.take(localstripe.card(GOOD)))
    (claimed,) = await shop.worker().claim(5)
    await shop.worker().asking.about_payment(claimed)  # type: ignore[arg-type]  # and the answer is lost
    deadline = time.monotonic() + 60
    while not (told := [each for each in heard.letters if str(sale.payment_id).encode() in each.body]):
        assert time.monotonic() < deadline, "localstripe tells nothing"
        await asyncio.sleep(0.05)
    await webhooks.receive(shop.under_lock, shop.providers, "stripe", told[0].headers, told[0].body)
    assert (await shop.payment(sale)).captured == PRICE.amount


async def test_stripe_that_is_away_leaves_it_unknown(pool: Database) -> None:
    async with open_stripe("http://127.0.0.1:9", SECRET_KEY, WEBHOOK_SECRET, 0.2) as nowhere:
        shop, sale = World(pool, {"stripe": nowhere}, "stripe"), Sale()
        await shop.order(sale.take("pm_1"))
        for _ in range(2):
            await shop.one_step()
        assert (await shop.payment(sale)).status is PaymentStatus.UNKNOWN


async def test_events_in_any_order_twice_and_with_another_amount(shop: World) -> None:
    sale, other = Sale(), Sale()
    for each in (sale, other):
        await shop.order(each.take("pm_1"))
    taken = signed(event_about(intent(sale, "succeeded"), "payment_intent.succeeded"))
    late = signed(event_about(intent(sale, "requires_payment_method"), "payment_intent.created"))
    for headers, body in (taken, late, taken):
        await webhooks.receive(shop.under_lock, shop.providers, "stripe", headers, body)
    assert (await shop.payment(sale)).status is PaymentStatus.SUCCESS
    less = signed(event_about(intent(other, "succeeded", amount_received=2_500_000), "payment_intent.succeeded"))
    assert await webhooks.receive(shop.under_lock, shop.providers, "stripe", *less) == ["quarantined"]


async def test_a_refund_that_fails_after_it_had_succeeded_goes_to_a_person(
    shop: World, localstripe: LocalStripe
) -> None:
    sale = await shop.paid(Sale(), localstripe.card(GOOD))
    for order in (sale.reserve("100000"), sale.submit()):
        await shop.order(order)
    await shop.work()
    about = {"id": "re_1", "object": "refund", "status": "failed", "failure_reason": "lost_or_stolen_card"}
    about["metadata"] = {"reference": str(sale.refund_id)}  # type: ignore[assignment]
    await webhooks.receive(shop.under_lock, shop.providers, "stripe", *signed(event_about(about, "refund.failed")))
    (refund,) = await shop.refunds(sale)
    assert (refund.status, refund.failure_reason) == (RefundStatus.REVERSED, "lost_or_stolen_card")


@pytest.mark.parametrize("code", ["balance_insufficient", "insufficient_balance_for_refund"])
async def test_a_refund_for_which_our_balance_does_not_reach_is_put_off(
    provider: StripeProvider, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """localstripe knows no balance."""

    async def refuses(*_: Any) -> None:
        raise stripe.InvalidRequestError("no funds", None, code=code)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(provider._refunds, "create_async", refuses)
    order = RefundOrder(new_id(), new_id(), "pi_1", PRICE, "", "key")
    assert await provider.create_refund(order) == RefundLater(code)


async def test_each_order_has_the_key_by_which_stripe_carries_it_out_once(
    provider: StripeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """localstripe looks at no key."""
    keys: list[str] = []

    async def refuses(_: Any, options: dict[str, str]) -> None:
        keys.append(options["idempotency_key"])
        raise stripe.InvalidRequestError("no", None)  # type: ignore[no-untyped-call]

    for orders in (provider._intents, provider._refunds):
        monkeypatch.setattr(orders, "create_async", refuses)
    payment = PaymentOrder(new_id(), PRICE, "card", "pm_1", new_id())
    await provider.create_payment(payment)
    await provider.create_refund(RefundOrder(new_id(), payment.reference, "pi_1", PRICE, "", "the second time"))
    assert keys == [str(payment.reference), "the second time"]


async def test_a_refund_that_stands_is_found_before_one_of_ours_that_failed(
    provider: StripeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In localstripe no refund fails. The newest is listed first, and Stripe may fail it after an older one stands."""
    order = RefundOrder(new_id(), new_id(), "pi_1", PRICE, "", "key")
    about = {"object": "refund", "metadata": {"reference": str(order.reference)}}
    failed, stands = ({"id": f"re_{status}", "status": status, **about} for status in ("failed", "succeeded"))

    async def listed(_: Any) -> Any:
        told = {"object": "list", "url": "/v1/refunds", "has_more": False, "data": [failed, stands]}
        return stripe.ListObject.construct_from(told, "a key")

    monkeypatch.setattr(provider._refunds, "list_async", listed)
    assert await provider.find_refund(order) == RefundSucceeded("re_succeeded")


async def test_forged_stale_and_unreadable_events_are_refused(provider: StripeProvider) -> None:
    event = event_about(intent(Sale(), "succeeded"), "payment_intent.succeeded")
    headers, body = signed(event)
    for wrong in (
        signed(event, secret="another"),
        signed(event, at=time.time() - 310),
        (headers, body + b" "),
        ({}, body),
    ):
        with pytest.raises(BadSignature):
            await provider.read_webhook(*wrong)
    with pytest.raises(BadWebhook):
        await provider.read_webhook(*signed({"id": "evt_1", "object": "event"}))
    assert await provider.read_webhook(*signed(event_about({"object": "charge"}, "charge.succeeded"))) == []


@pytest.mark.parametrize("currency", ["gbp", "kwd"])
async def test_what_another_shop_takes_in_a_currency_of_its_own_is_not_ours(
    provider: StripeProvider, currency: str
) -> None:
    """Answered as unreadable, Stripe would send it for days, and then switch our webhook off."""
    for reference in ("invoice-42", str(new_id())):
        about = intent(Sale(), "succeeded", 1234, currency=currency, metadata={"reference": reference})
        assert await provider.read_webhook(*signed(event_about(about, "payment_intent.succeeded"))) == []


async def test_nothing_of_a_card_or_a_person_is_kept(shop: World) -> None:
    sale = Sale()
    await shop.order(sale.take("pm_1"))
    about = intent(sale, "succeeded", receipt_email="sari@petpro.example", client_secret="pi_1_secret")
    about["latest_charge"] = {"created": 1, "payment_method_details": {"card": {"last4": "4242"}}}
    await webhooks.receive(
        shop.under_lock, shop.providers, "stripe", *signed(event_about(about, "payment_intent.succeeded"))
    )
    (kept,) = await shop.rows("SELECT payload::text AS body FROM provider_events")
    assert not any(word in kept.body for word in ("4242", "sari", "secret"))


async def test_what_it_took_and_gave_back_is_listed(
    shop: World, localstripe: LocalStripe, provider: StripeProvider
) -> None:
    sale = await shop.paid(Sale(), localstripe.card(GOOD))
    for order in (sale.reserve("5.00"), sale.refund_entry(), sale.submit(), sale.settle()):
        await shop.order(order)
    await shop.work()
    await shop.order(Sale().take(localstripe.card(DECLINED)))
    await shop.work()
    payment, (refund,) = await shop.payment(sale), await shop.refunds(sale)
    captures, refunds = [await listed(provider, kind) for kind in (Kind.CAPTURE, Kind.REFUND)]
    taken, given = captures[str(sale.payment_id)], refunds[str(sale.refund_id)]
    assert (taken.external_reference, taken.money, taken.at) == (payment.external_reference, PRICE, payment.paid_at)
    assert (given.external_reference, given.money) == (refund.external_reference, Money(Decimal(5), "IDR"))
    assert given.state is State.DONE


async def test_money_in_a_currency_that_we_never_take_is_listed_without_an_amount(
    localstripe: LocalStripe, provider: StripeProvider
) -> None:
    localstripe.sell(1999, "gbp")
    for kind in (Kind.CAPTURE, Kind.REFUND):
        assert (await listed(provider, kind))[""].money is None
