"""Every test value of the sandbox, from the order to the settled refund: by webhooks alone, and by asking alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from devstack.sandbox.testing import Letterbox, SandboxProcess
from petpro_common.money import Money
from petpro_payment import webhooks
from petpro_payment.asking import Timings
from petpro_payment.domain import PaymentStatus, RefundStatus
from services.payment.tests.world import QUICK, REFUSED, SUCCEEDED, Sale, World

PATIENT = Timings(lease=60.0, not_found_grace=0.3, poll=300.0, poll_limit=300.0)
"""Asks once, and then not again within any test: what follows must come by webhook."""

TAKEN = [
    "tok_success",
    "tok_processing",
    "tok_timeout_then_success",
    "tok_error_500_once",
    "tok_webhook_twice",
    "tok_webhook_late",
    "tok_webhook_out_of_order",
    "tok_webhook_never",
]
TOLD = [value for value in TAKEN if value not in ("tok_webhook_never", "tok_error_500_once")]


class Play:
    """The service at work beside the sandbox, until something has come about."""

    def __init__(self, world: World, letterbox: Letterbox, timings: Timings, *, told: bool) -> None:
        self._world, self._letterbox, self._told = world, letterbox, told
        self._worker = world.worker(timings)
        self._read = len(letterbox.letters)

    async def until(self, come_about: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not await come_about():
            assert time.monotonic() < deadline, "it did not come about in time"
            await self._worker.round()
            if self._told:
                await self.deliver()
            await asyncio.sleep(0.01)

    async def deliver(self) -> None:
        """Brings the letters that have come meanwhile."""
        letters = self._letterbox.letters[self._read :]
        self._read += len(letters)
        for letter in letters:
            headers = {"sandbox-signature": letter.signature}
            await webhooks.receive(self._world.under_lock, self._world.providers, "sandbox", headers, letter.body)

    async def taken(self, sale: Sale) -> None:
        await self.until(lambda: self._is(sale, "success"))

    async def _is(self, sale: Sale, status: str) -> bool:
        return (await self._world.payment(sale)).status == status

    async def refund_is(self, sale: Sale, status: RefundStatus) -> None:
        async def come_about() -> bool:
            return status in [refund.status for refund in await self._world.refunds(sale)]

        await self.until(come_about)


async def give_all_back(world: World, play: Play, sale: Sale) -> None:
    for order in (sale.fee(), sale.reserve("250000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await world.order(order)
    await play.refund_is(sale, RefundStatus.SUCCEEDED)
    assert (await world.answer(sale.submit())).outcome == SUCCEEDED
    assert (await world.answer(sale.settle())).outcome == SUCCEEDED
    assert (await world.payment(sale)).status is PaymentStatus.REFUNDED
    assert sum(entry.total_amount for entry in await world.entries(sale)) == 0


def agrees(sandbox: SandboxProcess, sale: Sale, refunded: str) -> None:
    """The provider's own list has one payment of ours, with that much given back."""
    (intent,) = sandbox.get("/v1/payment_intents", reference=str(sale.payment_id))["data"]
    assert (intent["amount_captured"], intent["amount_refunded"]) == ("250000.00", refunded)


@pytest.mark.parametrize("value", TAKEN)
async def test_by_asking_alone(sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox, value: str) -> None:
    sale, play = Sale(), Play(sandbox_world, letterbox, QUICK, told=False)
    await sandbox_world.order(sale.take(value))
    await play.taken(sale)
    await give_all_back(sandbox_world, play, sale)
    agrees(sandbox, sale, "250000.00")


@pytest.mark.parametrize("value", TOLD)
async def test_by_webhooks_alone(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox, value: str
) -> None:
    sale, play = Sale(), Play(sandbox_world, letterbox, PATIENT, told=True)
    await sandbox_world.order(sale.take(value))
    await play.taken(sale)
    await give_all_back(sandbox_world, play, sale)
    agrees(sandbox, sale, "250000.00")
    events = await sandbox_world.events(sale)
    assert events.count("payment.captured") == events.count("refund.succeeded") == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [("tok_declined", "CARD_DECLINED"), ("tok_insufficient_funds", "INSUFFICIENT_FUNDS"), ("", "PAYMENT_REFUSED")],
)
async def test_declined(sandbox_world: World, value: str, reason: str) -> None:
    sale = Sale()
    await sandbox_world.order(sale.take(value))
    await sandbox_world.work()
    answer = await sandbox_world.answer(sale.take(value))
    assert (answer.outcome, answer.reason) == (REFUSED, reason)
    assert (await sandbox_world.payment(sale)).failure_reason == reason


@pytest.mark.parametrize("method", ["qris", "virtual_account", "e_wallet"])
async def test_the_customer_pays_by_their_own_hand(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox, method: str
) -> None:
    sale, play = Sale(), Play(sandbox_world, letterbox, PATIENT, told=True)
    await sandbox_world.order(sale.take("", method))
    await sandbox_world.worker(PATIENT).round()
    waiting = await sandbox_world.payment(sale)
    assert (waiting.payment_details or {})["customer_action"]
    sandbox.post(f"/v1/test/payment_intents/{waiting.external_reference}/pay", {})
    await play.taken(sale)
    assert (await sandbox_world.answer(sale.take("", method))).outcome == SUCCEEDED


async def test_money_after_the_deadline_goes_back(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox
) -> None:
    sale, play = Sale(), Play(sandbox_world, letterbox, QUICK, told=True)
    await sandbox_world.order(sale.take("tok_requires_action"))
    await sandbox_world.one_step()
    await sandbox_world.run_out(sale)
    await sandbox_world.work()
    timed_out = await sandbox_world.payment(sale)
    assert timed_out.failure_reason == "PAYMENT_TIMED_OUT"
    sandbox.post(f"/v1/test/payment_intents/{timed_out.external_reference}/pay", {"late": True})
    await play.refund_is(sale, RefundStatus.SUCCEEDED)
    assert (await sandbox_world.payment(sale)).status is PaymentStatus.REFUNDED
    agrees(sandbox, sale, "250000.00")


async def test_another_amount_by_webhook_is_quarantined(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox
) -> None:
    sale, play = Sale(), Play(sandbox_world, letterbox, PATIENT, told=True)
    await sandbox_world.order(sale.take("tok_requires_action"))
    await sandbox_world.worker(PATIENT).round()
    intent = (await sandbox_world.payment(sale)).external_reference
    sandbox.post(f"/v1/test/payment_intents/{intent}/pay", {"amount": "100.00"})

    async def is_quarantined() -> bool:
        return bool(await sandbox_world.rows("SELECT 1 FROM provider_events WHERE disposition = 'quarantined'"))

    await play.until(is_quarantined)
    assert (await sandbox_world.answer(sale.take())).reason == "PAYMENT_REFUSED"
    assert (await sandbox_world.payment(sale)).captured == 0


async def test_called_off_while_processing(sandbox_world: World) -> None:
    sale = Sale()
    await sandbox_world.order(sale.take("tok_processing:30"))
    await sandbox_world.one_step()
    await sandbox_world.order(sale.cancel())
    await sandbox_world.work()
    assert (await sandbox_world.answer(sale.cancel())).outcome == SUCCEEDED
    assert (await sandbox_world.payment(sale)).status is PaymentStatus.CANCELLED


async def test_called_off_after_a_lost_answer_gives_everything_back(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox
) -> None:
    sale, play = Sale(), Play(sandbox_world, letterbox, QUICK, told=True)
    await sandbox_world.order(sale.take("tok_timeout_then_success"))
    await sandbox_world.one_step()
    await sandbox_world.order(sale.cancel())
    await play.refund_is(sale, RefundStatus.SUCCEEDED)
    agrees(sandbox, sale, "250000.00")


@pytest.mark.parametrize("value", ["tok_refund_slow", "tok_refund_timeout"])
async def test_refunds_that_take_their_time(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox, value: str
) -> None:
    sale, play = await sandbox_world.paid(Sale(), value), Play(sandbox_world, letterbox, QUICK, told=True)
    await give_all_back(sandbox_world, play, sale)
    agrees(sandbox, sale, "250000.00")


async def test_a_refund_that_waits_for_the_bank(
    sandbox_world: World, sandbox: SandboxProcess, letterbox: Letterbox
) -> None:
    sale = await sandbox_world.paid(Sale(), "tok_refund_pending")
    play = Play(sandbox_world, letterbox, PATIENT, told=True)
    for order in (sale.reserve("100000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await sandbox_world.order(order)
    await play.refund_is(sale, RefundStatus.PENDING)
    (refund,) = await sandbox_world.refunds(sale)
    sandbox.post(f"/v1/test/refunds/{refund.external_reference}/settle", {})
    await play.refund_is(sale, RefundStatus.SUCCEEDED)
    assert (await sandbox_world.answer(sale.settle())).outcome == SUCCEEDED
    agrees(sandbox, sale, "100000.00")


@pytest.mark.parametrize(("must_succeed", "outcome"), [(False, REFUSED), (True, SUCCEEDED)])
async def test_a_refused_refund(sandbox_world: World, must_succeed: bool, outcome: int) -> None:
    sale = await sandbox_world.paid(Sale(), "tok_refund_refused")
    await sandbox_world.order(sale.reserve("100000"))
    await sandbox_world.order(sale.submit(must_succeed))
    await sandbox_world.work()
    assert (await sandbox_world.answer(sale.submit())).outcome == outcome


async def test_a_refund_that_fails_later(sandbox_world: World, letterbox: Letterbox) -> None:
    sale = await sandbox_world.paid(Sale(), "tok_refund_fails_later")
    play = Play(sandbox_world, letterbox, QUICK, told=True)
    await sandbox_world.order(sale.reserve("100000"))
    await sandbox_world.order(sale.submit())
    await play.refund_is(sale, RefundStatus.MANUAL)
    assert (await sandbox_world.payment(sale)).refund_reserved == 100000


async def test_yen_have_no_cents(sandbox_world: World) -> None:
    sale = Sale(price=Money(Decimal(1200), "JPY"))
    await sandbox_world.order(sale.take())
    await sandbox_world.work()
    assert (await sandbox_world.payment(sale)).captured == 1200


async def test_a_provider_that_is_away_is_asked_again(sandbox_world: World, sandbox: SandboxProcess) -> None:
    sale = Sale()
    sandbox.kill()
    try:
        await sandbox_world.order(sale.take())
        for _ in range(3):
            await sandbox_world.one_step()
        assert (await sandbox_world.payment(sale)).status is PaymentStatus.UNKNOWN
    finally:
        sandbox.start()
    await sandbox_world.work()
    assert (await sandbox_world.answer(sale.take())).outcome == SUCCEEDED
