"""The adapter to Midtrans against a contract fake: every method, statuses out of order, forged words, refunds."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from aiohttp import web

from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment import reconciliation
from petpro_payment.domain import Disposition, PaymentStatus, RefundStatus
from petpro_payment.errors import BadSignature, BadWebhook, ProviderAway
from petpro_payment.outcomes import Unknown
from petpro_payment.providers import http
from petpro_payment.providers.midtrans import MidtransProvider
from petpro_payment.providers.movements import Kind, Span, State
from petpro_payment.providers.provider import Asked, PaymentOrder, RefundOrder
from services.payment.tests.fake_midtrans import FakeMidtrans
from services.payment.tests.loopback import serving
from services.payment.tests.midtrans_shop import asked, deliver, open_shop, refund_submitted, settled
from services.payment.tests.world import PRICE, REFUSED, SUCCEEDED, Sale, World

APPLIED, IGNORED = Disposition.APPLIED, Disposition.IGNORED


@pytest.fixture
def midtrans() -> FakeMidtrans:
    return FakeMidtrans()


@pytest.fixture
async def shop(pool: Database, midtrans: FakeMidtrans) -> AsyncIterator[World]:
    async with open_shop(pool, midtrans) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "token", "action"),
    [
        ("qris", "", "00020101"),
        ("virtual_account", "bni", "bni 812785002530231"),
        ("virtual_account", "permata", "permata 8562000087926752"),
        ("e_wallet", "", "https://pay.example/wallet"),
        ("card", "3ds", "https://pay.example/3ds"),
    ],
)
async def test_the_customer_pays_by_their_own_hand(
    shop: World, midtrans: FakeMidtrans, method: str, token: str, action: str
) -> None:
    sale = await asked(shop, Sale(), method, token)
    await shop.one_step()
    waiting = await shop.payment(sale)
    assert (waiting.status, waiting.payment_details) == (PaymentStatus.PROCESSING, {"customer_action": action})
    told = midtrans.becomes(sale.payment_id, "settlement")
    assert [await deliver(shop, told) for _ in range(2)] == [[APPLIED], [IGNORED]]
    assert (await shop.payment(sale)).captured == 250000
    assert (await shop.answer(sale.take())).outcome == SUCCEEDED


@pytest.mark.parametrize(
    ("token", "reason"),
    [("denied", "CARD_DECLINED"), ("poor", "INSUFFICIENT_FUNDS"), ("of nobody", "PAYMENT_REFUSED")],
)
async def test_a_card_is_declined(shop: World, token: str, reason: str) -> None:
    sale = await asked(shop, Sale(), "card", token)
    answer = await shop.answer(sale.take())
    assert (answer.outcome, answer.reason) == (REFUSED, reason)


@pytest.mark.parametrize(("fraud", "status"), [("accept", PaymentStatus.SUCCESS), ("deny", PaymentStatus.FAILED)])
async def test_a_charge_in_doubt_waits_for_its_verdict(
    shop: World, midtrans: FakeMidtrans, fraud: str, status: PaymentStatus
) -> None:
    sale = await asked(shop, Sale(), "card", "odd")
    assert (await shop.payment(sale)).status is PaymentStatus.PROCESSING
    await deliver(shop, midtrans.becomes(sale.payment_id, "capture", fraud_status=fraud))
    assert (await shop.payment(sale)).status is status


@pytest.mark.parametrize("status", ["refund", "partial_refund", "chargeback", "partial_chargeback"])
async def test_what_was_taken_and_has_gone_on_before_we_heard_of_it_was_taken(
    shop: World, midtrans: FakeMidtrans, status: str
) -> None:
    """Else it is waited for until its deadline, and then called off."""
    sale = await asked(shop, Sale())
    assert await deliver(shop, midtrans.becomes(sale.payment_id, status)) == [APPLIED]
    assert (await shop.payment(sale)).status is PaymentStatus.SUCCESS


async def test_statuses_out_of_order_and_twice_make_one_payment(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await asked(shop, Sale())
    pending = midtrans.notify(sale.payment_id)
    settlement = midtrans.becomes(sale.payment_id, "settlement")
    told = [await deliver(shop, body) for body in (settlement, pending, settlement)]
    assert told == [[APPLIED], [IGNORED], [IGNORED]]
    assert await shop.events(sale) == ["payment.captured"]


async def test_a_lost_answer_is_looked_up_and_the_order_charged_once(shop: World, midtrans: FakeMidtrans) -> None:
    midtrans.mute = True
    sale = await asked(shop, Sale(), "card", "good")
    assert (await shop.payment(sale)).status is PaymentStatus.UNKNOWN
    await shop.work()
    assert (await shop.answer(sale.take())).outcome == SUCCEEDED


async def test_a_notification_may_come_before_our_own_call_is_over(shop: World, midtrans: FakeMidtrans) -> None:
    midtrans.mute = True
    sale = await asked(shop, Sale(), "card", "good")
    assert await deliver(shop, midtrans.notify(sale.payment_id)) == [APPLIED]


async def test_forged_and_unreadable_notifications_change_nothing(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await asked(shop, Sale())
    told = json.loads(midtrans.notify(sale.payment_id))
    for forged in ({"gross_amount": "1.00"}, {"status_code": "200"}, {"signature_key": "0" * 128}):
        with pytest.raises(BadSignature):
            await deliver(shop, json.dumps({**told, **forged}).encode())
    for unreadable in (b"", b"[]", b"{}"):
        with pytest.raises(BadWebhook):
            await deliver(shop, unreadable)
    assert (await shop.payment(sale)).status is PaymentStatus.PROCESSING


async def test_a_status_that_the_signature_does_not_cover_is_not_believed(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await asked(shop, Sale())
    told = json.loads(midtrans.notify(sale.payment_id))
    assert await deliver(shop, json.dumps({**told, "transaction_status": "settlement"}).encode()) == [IGNORED]
    assert (await shop.payment(sale)).captured == 0


async def test_another_amount_is_quarantined(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await asked(shop, Sale())
    less = midtrans.becomes(sale.payment_id, "settlement", gross_amount="100000.00")
    assert await deliver(shop, less) == [Disposition.QUARANTINED]
    assert (await shop.payment(sale)).captured == 0


async def test_a_notification_while_midtrans_is_away_is_to_come_again(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await asked(shop, Sale())
    told = midtrans.becomes(sale.payment_id, "settlement")
    transaction = midtrans.transactions.pop(str(sale.payment_id))
    assert await deliver(shop, told) == []
    midtrans.transactions[str(sale.payment_id)] = {"status_code": "503"}
    with pytest.raises(ProviderAway):
        await deliver(shop, told)
    midtrans.transactions[str(sale.payment_id)] = transaction
    assert await deliver(shop, told) == [APPLIED]


async def test_who_does_not_pay_in_time_can_pay_no_more(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await asked(shop, Sale())
    await shop.run_out(sale)
    await shop.work()
    assert (await shop.payment(sale)).failure_reason == "PAYMENT_TIMED_OUT"
    assert midtrans.transactions[str(sale.payment_id)]["transaction_status"] == "cancel"


async def test_a_refund_is_over_when_the_bank_confirms_it(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await refund_submitted(shop, await settled(shop, midtrans))
    assert await deliver(shop, midtrans.notify(sale.payment_id)) == [IGNORED, IGNORED]
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.PENDING]
    assert await deliver(shop, midtrans.confirm(sale.payment_id)) == [IGNORED, APPLIED]
    assert (await shop.answer(sale.settle())).outcome == SUCCEEDED
    assert (await shop.payment(sale)).status is PaymentStatus.PARTIALLY_REFUNDED


async def test_a_refund_whose_answer_was_lost_is_made_once(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await settled(shop, midtrans)
    midtrans.mute = True
    await refund_submitted(shop, sale)
    midtrans.confirm(sale.payment_id)
    await shop.work()
    assert len(midtrans.transactions[str(sale.payment_id)]["refunds"]) == 1
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.SUCCEEDED]


async def test_a_refund_that_it_has_and_does_not_show_yet_is_not_refused(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await settled(shop, midtrans)
    midtrans.mute = midtrans.lags = True
    await refund_submitted(shop, sale)
    midtrans.mute = False
    await shop.one_step()
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.UNKNOWN]
    midtrans.lags = False
    midtrans.confirm(sale.payment_id)
    await shop.work()
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.SUCCEEDED]


async def test_what_is_captured_and_not_settled_is_refunded_later(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await refund_submitted(shop, await asked(shop, Sale(), "card", "good"))
    (waiting,) = await shop.refunds(sale)
    assert (waiting.status, waiting.failure_reason) == (RefundStatus.WAITING, "not settled yet")
    midtrans.becomes(sale.payment_id, "settlement")
    await shop.one_step()
    assert [refund.status for refund in await shop.refunds(sale)] == [RefundStatus.PENDING]


@pytest.mark.parametrize(("code", "status"), [("202", RefundStatus.REFUSED), ("414", RefundStatus.WAITING)])
async def test_refusals_that_are_for_good_and_for_now(
    shop: World, midtrans: FakeMidtrans, code: str, status: RefundStatus
) -> None:
    midtrans.refuses = code
    sale = await refund_submitted(shop, await settled(shop, midtrans))
    assert [refund.status for refund in await shop.refunds(sale)] == [status]


async def test_half_rupiah_are_refused_before_midtrans_is_asked(shop: World, midtrans: FakeMidtrans) -> None:
    half = Sale(price=Money(Decimal("100000.50"), "IDR"))
    assert (await shop.order(half.take("", "qris"))).reason == "AMOUNT_TOO_FINE"
    assert midtrans.transactions == {}


async def test_it_has_no_list_and_is_asked_by_our_ids(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await refund_submitted(shop, await settled(shop, midtrans))
    midtrans.confirm(sale.payment_id)
    span = Span(Kind.CAPTURE, datetime.now(UTC) - timedelta(minutes=5), datetime.now(UTC) + timedelta(seconds=1), 10)
    provider = shop.providers["midtrans"]
    assert isinstance(await provider.list_movements(span), Unknown)
    (taken,) = (await reconciliation.page(shop.database, provider, span)).movements
    assert (taken.reference, taken.money, taken.state) == (str(sale.payment_id), PRICE, State.DONE)
    (given,) = (await reconciliation.page(shop.database, provider, replace(span, kind=Kind.REFUND))).movements
    assert (given.reference, given.money, given.state) == (str(sale.refund_id), None, State.DONE)


@pytest.mark.parametrize("code", ["401", "406", "429", "500"])
async def test_a_code_from_which_nothing_follows_is_no_refusal(code: str) -> None:
    """Our key is wrong, it has had the order, we ask too often, it is broken."""

    async def says(_: web.Request) -> web.Response:
        return web.json_response({"status_code": code})

    async with serving(web.route("*", "/{path:.*}", says)) as url, http.open_client(url, 3.0, "") as client:
        midtrans, now = MidtransProvider(client, "a key", "https://app.example"), datetime.now(UTC)
        payment = PaymentOrder(new_id(), PRICE, "qris", "", new_id())
        assert isinstance(await midtrans.create_payment(payment), Unknown)
        assert isinstance(await midtrans.find_payment(Asked(payment.reference, None, now, now)), Unknown)
        assert isinstance(await midtrans.create_refund(refund_of(payment.reference)), Unknown)


async def test_a_refund_that_somebody_made_in_its_own_pages_is_not_ours(shop: World, midtrans: FakeMidtrans) -> None:
    sale = await settled(shop, midtrans)
    others = {"refund_key": "by hand", "refund_amount": "1000.00", "bank_confirmed_at": "2026-11-23 12:00:00"}
    midtrans.transactions[str(sale.payment_id)]["refunds"] = [others]
    assert await shop.providers["midtrans"].find_refund(refund_of(sale.payment_id)) is None


def refund_of(payment_id: UUID) -> RefundOrder:
    return RefundOrder(new_id(), payment_id, "a transaction", PRICE, "", "key")
