"""The adapter to Xendit against a contract fake: every method, lost answers, callbacks that lie, lists."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_payment import webhooks
from petpro_payment.domain import Disposition, PaymentStatus
from petpro_payment.errors import BadSignature, BadWebhook, ProviderAway
from petpro_payment.outcomes import Unknown
from petpro_payment.providers import http
from petpro_payment.providers.movements import Kind, Span, State
from petpro_payment.providers.provider import PaymentOrder, RefundOrder
from petpro_payment.providers.xendit import XenditProvider
from services.payment.tests.desk import open_desk
from services.payment.tests.fake_xendit import CALLBACK_TOKEN, FakeXendit
from services.payment.tests.loopback import serving
from services.payment.tests.test_journal import balances
from services.payment.tests.world import PRICE, REFUSED, SUCCEEDED, Sale, World
from services.payment.tests.xendit_shop import asked, deliver, moved, open_shop, refund_submitted


@pytest.fixture
def xendit() -> FakeXendit:
    return FakeXendit()


@pytest.fixture
async def shop(pool: Database, xendit: FakeXendit) -> AsyncIterator[World]:
    async with open_shop(pool, xendit) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "token", "action"),
    [
        ("qris", "", "00020101"),
        ("virtual_account", "BNI", "BNI 128081234567"),
        ("e_wallet", "OVO", "https://pay.example/1"),
        ("card", "pm-3ds", "https://pay.example/1"),
    ],
)
async def test_the_customer_pays_by_their_own_hand(
    shop: World, xendit: FakeXendit, method: str, token: str, action: str
) -> None:
    sale = await asked(shop, Sale(), method, token)
    waiting = await shop.payment(sale)
    assert (waiting.status, waiting.payment_details) == (PaymentStatus.PROCESSING, {"customer_action": action})
    xendit.pay(sale.payment_id)
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.APPLIED
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.IGNORED
    assert (await shop.payment(sale)).captured == 250000
    assert await shop.events(sale) == ["payment.captured"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [("pm-declined", "CARD_DECLINED"), ("pm-poor", "INSUFFICIENT_FUNDS"), ("pm-of-nobody", "PAYMENT_REFUSED")],
)
async def test_a_card_is_declined(shop: World, token: str, reason: str) -> None:
    sale = await asked(shop, Sale(), "card", token)
    answer = await shop.answer(sale.take())
    assert (answer.outcome, answer.reason) == (REFUSED, reason)


async def test_of_a_card_that_pays_for_two_bookings_each_payment_is_its_own(shop: World, xendit: FakeXendit) -> None:
    """Xendit lists all payments of a means of payment."""
    for _ in range(2):
        sale = await asked(shop, Sale(), "card", "pm-good")
        assert (await shop.payment(sale)).captured == 250000


async def test_an_attempt_that_failed_has_taken_nothing(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale())
    xendit.pay(sale.payment_id)
    xendit.payments.insert(0, {**xendit.payments[0], "id": "py-first", "status": "FAILED"})
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.APPLIED
    assert (await shop.payment(sale)).captured == 250000


async def test_a_lost_answer_is_looked_up_and_nobody_pays_twice(shop: World, xendit: FakeXendit) -> None:
    xendit.mute = True
    sale = await asked(shop, Sale(), "card", "pm-good")
    assert (await shop.payment(sale)).status is PaymentStatus.UNKNOWN
    await shop.work()
    assert (await shop.answer(sale.take())).outcome == SUCCEEDED
    assert len(xendit.payments) == 1


async def test_a_callback_may_come_before_our_own_call_is_over(shop: World, xendit: FakeXendit) -> None:
    xendit.mute = True
    sale = await asked(shop, Sale(), "card", "pm-good")
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.APPLIED
    assert (await shop.payment(sale)).status is PaymentStatus.SUCCESS


async def test_another_amount_is_quarantined_whatever_was_asked(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale(), "virtual_account")
    xendit.pay(sale.payment_id, 100000)
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.QUARANTINED
    assert (await shop.payment(sale)).captured == 0


async def test_what_is_paid_in_parts_is_for_a_person_from_the_first_on(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale(), "virtual_account")
    xendit.pay(sale.payment_id, 100000)
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.QUARANTINED
    xendit.pay(sale.payment_id, 150000)
    with capture_logs() as said:
        assert await deliver(shop, xendit.callbacks[1]) is Disposition.IGNORED
    assert [line["taken"] for line in said if line["log_level"] == "error"] == [str(PRICE)]
    assert await shop.refunds(sale) == []
    assert await balances(shop, sale) == {"customer_liability": -100000, "provider_clearing": 100000}


async def test_what_is_paid_once_more_waits_for_a_person_and_the_payment_stands(
    shop: World, xendit: FakeXendit, tmp_path: Path
) -> None:
    sale = await asked(shop, Sale(), "virtual_account")
    xendit.pay(sale.payment_id)
    assert await deliver(shop, xendit.callbacks[0]) is Disposition.APPLIED
    paid = await balances(shop, sale)
    xendit.pay(sale.payment_id, 100000)
    assert await deliver(shop, xendit.callbacks[1]) is Disposition.QUARANTINED
    assert (await shop.payment(sale)).status is PaymentStatus.SUCCESS
    assert await balances(shop, sale) == {"customer_liability": -350000, "provider_clearing": 350000}
    async with open_desk(shop, tmp_path) as desk:
        assert [each.taken.amount for each in await desk.quarantined()] == ["100000.00"]
        await desk.close_quarantine(sale)
    assert await balances(shop, sale) == paid


async def test_what_a_callback_says_is_not_believed(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale())
    xendit.pay(sale.payment_id)
    headers, body = xendit.callbacks[0]
    xendit.request_of(sale.payment_id)["status"] = "REQUIRES_ACTION"  # as it was before
    assert await deliver(shop, (headers, body)) is not Disposition.QUARANTINED
    assert (await shop.payment(sale)).status is PaymentStatus.PROCESSING
    for forged in ({**headers, "x-callback-token": "guessed"}, {}):
        with pytest.raises(BadSignature):
            await deliver(shop, (forged, body))
    for unreadable in (b"", b"{}", b"[]", b'{"event": "payment.succeeded", "data": {}}'):
        with pytest.raises(BadWebhook):
            await deliver(shop, (headers, unreadable))


async def test_what_is_none_of_ours_changes_nothing(shop: World, xendit: FakeXendit) -> None:
    refunded, foreign = await refund_submitted(shop, xendit), await asked(shop, Sale())
    xendit.settle(refunded.refund_id)
    for refund in xendit.refunds.values():
        refund["reference_id"] = None
    assert await deliver(shop, xendit.callbacks[-1]) is Disposition.UNKNOWN
    xendit.request_of(foreign.payment_id)["currency"] = "PHP"
    xendit.pay(foreign.payment_id)
    assert await webhooks.receive(shop.under_lock, shop.providers, "xendit", *xendit.callbacks[-1]) == []
    assert {each.money for each in await moved(shop, Kind.CAPTURE, 10)} == {PRICE, None}
    assert [each.reference for each in await moved(shop, Kind.REFUND, 10)] == [""]


async def test_a_callback_about_what_cannot_be_fetched_is_to_come_again(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale())
    xendit.pay(sale.payment_id)
    xendit.request_of(sale.payment_id)["status"] = "UNKNOWN"
    with pytest.raises(ProviderAway):
        await deliver(shop, xendit.callbacks[0])
    headers, body = xendit.callbacks[0]
    nobodys = body.replace(xendit.request_of(sale.payment_id)["id"].encode(), b"pr-of-nobody")
    assert await webhooks.receive(shop.under_lock, shop.providers, "xendit", headers, nobodys) == []


async def test_who_does_not_pay_in_time_can_pay_no_more(shop: World, xendit: FakeXendit) -> None:
    sale = await asked(shop, Sale())
    await shop.run_out(sale)
    await shop.work()
    assert (await shop.payment(sale)).failure_reason == "PAYMENT_TIMED_OUT"
    assert xendit.request_of(sale.payment_id)["status"] == "EXPIRED"


async def test_half_rupiah_and_dollars_are_refused_before_xendit_is_asked(shop: World, xendit: FakeXendit) -> None:
    half, dollars = Sale(price=Money(Decimal("100000.50"), "IDR")), Sale(price=Money(Decimal(10), "USD"))
    assert (await shop.order(half.take("", "qris"))).reason == "AMOUNT_TOO_FINE"
    assert (await shop.order(dollars.take("", "qris"))).reason == "CURRENCY_NOT_OFFERED"
    assert xendit.requests == {}


@pytest.mark.parametrize("size", [1, 100])
async def test_what_it_took_and_gave_back_is_listed_in_pages(shop: World, xendit: FakeXendit, size: int) -> None:
    sales = [await asked(shop, Sale()) for _ in range(3)]
    for sale in sales:
        xendit.pay(sale.payment_id)
    await shop.work()
    for sale in sales:
        for order in (sale.fee(), sale.reserve("100000"), sale.refund_entry(), sale.submit(), sale.settle()):
            await shop.order(order)
    await shop.one_step()
    xendit.settle(sales[0].refund_id)
    xendit.settle(sales[1].refund_id, "FAILED")
    await asked(shop, Sale())
    taken = await moved(shop, Kind.CAPTURE, size)
    assert {each.reference for each in taken} == {str(sale.payment_id) for sale in sales}
    assert {(each.money, each.state) for each in taken} == {(PRICE, State.DONE)}
    given = await moved(shop, Kind.REFUND, size)
    states = {each.reference: each.state for each in given}
    assert states == dict(
        zip([str(sale.refund_id) for sale in sales], [State.DONE, State.FAILED, State.PENDING], strict=True)
    )
    assert {each.money for each in given} == {Money(Decimal(100000), "IDR")}


async def test_a_list_that_cannot_be_had_is_no_empty_list() -> None:
    async with serving(*FakeXendit().routes()) as url, http.open_client(url, 3.0, "") as nobody:
        span = Span(Kind.CAPTURE, datetime.now(UTC), datetime.now(UTC), 10)
        answer = await XenditProvider(nobody, CALLBACK_TOKEN, "https://app.example").list_movements(span)
    assert isinstance(answer, Unknown)


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_an_answer_that_is_not_xendits_declines_nothing(status: int) -> None:
    async def blocked(_: web.Request) -> web.Response:
        return web.Response(text="<h1>blocked</h1>", status=status)

    async with serving(web.post("/{path:.*}", blocked)) as url, http.open_client(url, 3.0, "") as proxied:
        order = PaymentOrder(new_id(), Money(Decimal(100000), "IDR"), "qris", "", new_id())
        answer = await XenditProvider(proxied, CALLBACK_TOKEN, "https://app.example").create_payment(order)
    assert isinstance(answer, Unknown)


async def test_a_key_that_xendit_has_had_is_no_refusal() -> None:
    """Declined, what was carried out under that key would be taken for not done."""

    async def conflict(_: web.Request) -> web.Response:
        return web.json_response({"error_code": "DUPLICATE_ERROR"}, status=409)

    async with serving(web.post("/{path:.*}", conflict)) as url, http.open_client(url, 3.0, "") as client:
        xendit, amount = XenditProvider(client, CALLBACK_TOKEN, "https://app.example"), Money(Decimal(100000), "IDR")
        payment = PaymentOrder(new_id(), amount, "qris", "", new_id())
        assert isinstance(await xendit.create_payment(payment), Unknown)
        refund = RefundOrder(new_id(), payment.reference, "pr-1", amount, "", "key")
        assert isinstance(await xendit.create_refund(refund), Unknown)
