"""The worker: asks providers about what is due, outside of any transaction, and records what it learned.

A payment or refund is taken on lease (`due_at` moves to the lease's end), so a worker that dies holds nothing up.
Between the provider's answer and its record anything may crash: the next worker asks the provider what became of our
reference, and orders again, under the same idempotency key, only what the provider does not know.
"""

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import structlog
from psycopg import Error as DatabaseError

from petpro_common import context, kill_points, telemetry
from petpro_common.context import CallContext
from petpro_common.db import Database, Transaction
from petpro_common.kill_points import Moment
from petpro_common.sealing import Opener
from petpro_payment import answers, errand_store, metrics, payments, refunds, store
from petpro_payment.domain import Disposition, Payment, Refund
from petpro_payment.errands import LONGEST_ASKING, Errand, Errands, Item, booking_of, call_of, traced
from petpro_payment.outcomes import (
    CalledOff,
    Captured,
    Declined,
    PaymentOutcome,
    Processing,
    RefundByHand,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers.capabilities import Capabilities, why_not_refund
from petpro_payment.providers.provider import Asked, PaymentOrder, Provider, Providers, RefundOrder
from petpro_payment.under_lock import UnderLock

_AT_ONCE = 16
_LONGEST_SLEEP_SECONDS = 1.0
_RETRY_SECONDS = 0.5

_log = structlog.get_logger()
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class Timings:
    """Seconds; see the settings of the same names."""

    lease: float = 30.0
    not_found_grace: float = 30.0
    poll: float = 1.0
    poll_limit: float = 30.0

    def pause(self, attempts: int) -> float:
        """Until the next look after so many: doubling, and half of it at random."""
        longest = min(self.poll * 2.0 ** min(attempts - 1, 20), self.poll_limit)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret


class Worker:
    """Works on payments and refunds that are due, at most sixteen at once; any number of replicas may run."""

    def __init__(
        self, database: Database, under_lock: UnderLock, providers: Providers, timings: Timings, opener: Opener
    ) -> None:
        self.errands = Errands(timings.lease)
        """By which it is given what this process claims as it orders it."""
        self._under_lock = under_lock
        self._opener = opener
        self._database = database
        self._providers = providers
        self._timings = timings
        self._woken = asyncio.Event()
        self._is_to_look = True
        self._next_look: asyncio.TimerHandle | None = None
        self._looks_at = 0.0
        self._busy = 0
        for name in providers:  # from nothing on: a rate does not see a series begin at one
            metrics.UNKNOWN_OUTCOMES.labels(name)
        database.listen(store.WORK, lambda _: self._look_now())

    async def run(self) -> None:
        """Runs until cancelled; a fault of the database is logged and tried again."""
        self.errands.serve(lambda: _AT_ONCE - self._busy, self._woken.set)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._woken.clear()
                    due = await self._due()
                    for item in [*due, *self.errands.in_time(_AT_ONCE - self._busy - len(due))]:
                        self._busy += 1
                        group.create_task(self._work(item))
                    await self._woken.wait()
        finally:
            self.errands.close()

    async def _due(self) -> list[Item]:
        """What is due, on lease, if it is time to look. To what was handed over half of what is free is left."""
        free = _AT_ONCE - self._busy
        if not self._is_to_look or not free:
            return []
        self._is_to_look = False
        try:
            due, pause = await self._claim_or_wait((free + 1) // 2 if self.errands.are_waiting else free)
        except (DatabaseError, OSError) as fault:
            self._report(fault)
            due, pause = [], _RETRY_SECONDS
        self._look_in(pause)
        return due

    async def _claim_or_wait(self, limit: int) -> tuple[list[Item], float]:
        """What is due, on lease, and the seconds until something else may be: none when there may be more at once."""
        due, due_in = await errand_store.claim(self._database, self._timings.lease, limit)
        if len(due) == limit:
            return due, 0.0
        pause = _LONGEST_SLEEP_SECONDS if due_in is None else min(max(due_in, 0.01), _LONGEST_SLEEP_SECONDS)
        return due, pause

    def _look_in(self, seconds: float) -> None:
        """Has the worker look for what is due after so many seconds, unless it will sooner."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._next_look and self._looks_at <= at:
            return
        if self._next_look:
            self._next_look.cancel()
        self._looks_at, self._next_look = at, loop.call_at(at, self._look)

    def _look(self) -> None:
        self._next_look = None
        self._look_now()

    def _look_now(self) -> None:
        self._is_to_look = True
        self._woken.set()

    async def claim(self, limit: int) -> list[Item]:
        """Takes what is due on lease."""
        due, _ = await errand_store.claim(self._database, self._timings.lease, limit)
        return due

    async def round(self) -> int:
        """Claims what is due and brings each item one step on; how many there were."""
        due = await self.claim(_AT_ONCE)
        await asyncio.gather(*map(self.step, due))
        return len(due)

    async def step(self, item: Item) -> float | None:
        """Asks the provider about one item and records what it said; the seconds until it is looked at again, if so."""
        if isinstance(item, Payment):
            return await self.record_payment(item, await self.ask_about_payment(item))
        return await self.record_refund(item.refund, await self.ask_about_refund(item))

    async def ask_about_payment(self, payment: Payment) -> PaymentOutcome:
        """What has become of a payment. No transaction is open."""
        provider = self._providers[payment.provider]
        return await self._asked(provider, self._payment_outcome(provider, payment))

    async def record_payment(self, asked: Payment, outcome: PaymentOutcome) -> float | None:
        """Records what was learned; an open payment is looked at again, at once when it was called off meanwhile."""

        is_over = isinstance(outcome, Captured | Declined | CalledOff)
        pause = None if is_over else self._timings.pause(asked.attempts)

        async def record(tx: Transaction, payment: Payment | None, _: bool) -> Disposition:
            nonlocal pause
            if payment is None:
                return Disposition.IGNORED
            disposition = await payments.learn(tx, payment, outcome)
            answers.keep(tx, payment.provider, payment.id, asked.attempts, outcome, disposition)
            if pause is not None:
                pause = 0.0 if payment.is_called_off and not asked.is_called_off else pause
                store.postpone_payment(tx, asked.id, pause)
            return disposition

        await self._under_lock.on_payment(asked.id, record)
        return pause

    async def ask_about_refund(self, errand: Errand) -> RefundOutcome:
        """What has become of a refund. No transaction is open."""
        if errand.payment.external_reference is None:
            return Unknown("the payment has no reference at the provider")
        provider = self._providers[errand.payment.provider]
        return await self._asked(provider, _refund_outcome(provider, errand))

    async def record_refund(self, asked: Refund, outcome: RefundOutcome) -> float | None:
        """Records what was learned; a refund that is still on its way is looked at again."""

        is_over = isinstance(outcome, RefundSucceeded | RefundRefused | RefundByHand)
        pause = None if is_over else self._timings.pause(asked.attempts)

        async def record(tx: Transaction, found: tuple[Payment, Refund] | None, _: bool) -> Disposition:
            if found is None:
                return Disposition.IGNORED
            disposition = await refunds.learn(tx, *found, outcome, pause)
            answers.keep(tx, found[0].provider, asked.id, asked.attempts, outcome, disposition)
            return disposition

        await self._under_lock.on_refund(asked.id, record)
        return pause

    async def _payment_outcome(self, provider: Provider, payment: Payment) -> PaymentOutcome:
        calling_off = payment.is_called_off or payment.is_overdue
        if payment.attempts == 1 and not calling_off:
            return await provider.create_payment(self._order(payment))
        asked = Asked(payment.id, payment.external_reference, payment.created_at, payment.asked_at or payment.now)
        found = await provider.find_payment(asked)
        if found is None:
            return self._never_arrived(payment) if calling_off else await provider.create_payment(self._order(payment))
        if calling_off and isinstance(found, Processing):
            return await provider.cancel_payment(replace(asked, external_reference=found.external_reference))
        return found

    def _order(self, payment: Payment) -> PaymentOrder:
        token = self._opener.open(payment.payment_token or "", str(payment.id))
        return PaymentOrder(payment.id, payment.money, payment.payment_method, token, payment.booking_id)

    def _never_arrived(self, payment: Payment) -> PaymentOutcome:
        """The provider knows nothing of it. An order of ours that is still on its way may yet arrive."""
        grace = timedelta(seconds=self._timings.not_found_grace)
        if payment.asked_at is not None and payment.now - payment.asked_at < grace:
            return Unknown("not there, or not there yet")
        return CalledOff()

    async def _asked(self, provider: Provider, asking: Awaitable[_Outcome]) -> _Outcome | Unknown:
        """The outcome. Whatever else happens while asking, a fault of an adapter too, tells nothing of the money."""
        outcome: _Outcome | Unknown
        kill_points.reach(Moment.BEFORE_CALL)
        try:
            with telemetry.call_out(f"ask {provider.capabilities.name}"):
                async with asyncio.timeout(self._timings.lease * LONGEST_ASKING):
                    outcome = await asking
        except Exception as fault:  # noqa: BLE001  # no fault may pass for an outcome
            _log.error("asking the provider failed", provider=provider.capabilities.name, exc_info=fault)
            outcome = Unknown(type(fault).__name__)
        if isinstance(outcome, Unknown):
            metrics.UNKNOWN_OUTCOMES.labels(provider.capabilities.name).inc()
            _log.warning("outcome is not known", provider=provider.capabilities.name, cause=outcome.cause)
        kill_points.reach(Moment.AFTER_CALL)
        return outcome

    async def _work(self, item: Item) -> None:
        try:
            call = CallContext(*call_of(item))
            with traced(call.method, item), context.within(call), context.about(booking_id=booking_of(item)):
                again_in = await self.step(item)
            if again_in is not None:
                self._look_in(again_in)
        except Exception as fault:  # noqa: BLE001  # one item must not end the worker; its lease runs out
            self._report(fault)
        finally:
            self._busy -= 1
            if self._busy == _AT_ONCE - 1:
                self._woken.set()

    def _report(self, fault: Exception) -> None:
        telemetry.BACKGROUND_FAILURES.labels("payment worker").inc()
        _log.error("worker tries again", exc_info=fault)


def refund_order(errand: Errand) -> RefundOrder:
    """The order for a refund, by which it is also looked for."""
    refund, payment = errand.refund, errand.payment
    return RefundOrder(
        reference=refund.id,
        payment_reference=payment.id,
        payment_external_reference=payment.external_reference or "",
        money=refund.money,
        reason=refund.reason,
        idempotency_key=refund.idempotency_key,
        external_reference=refund.external_reference,
    )


async def _refund_outcome(provider: Provider, errand: Errand) -> RefundOutcome:
    order = refund_order(errand)
    found = await provider.find_refund(order) if errand.refund.attempts > 1 else None
    if found is not None:
        return found
    if not errand.refund.status.is_submitted:
        return Unknown("a refund that the provider had taken on is not there")
    return _by_hand(provider.capabilities, errand) or await provider.create_refund(order)


def _by_hand(provider: Capabilities, errand: Errand) -> RefundByHand | None:
    """What the provider cannot give back, and so was never ordered there, however often a worker died before that.

    A window may have closed since an order went out, unless it had before the refund was there.
    """
    refund, payment = errand.refund, errand.payment
    if payment.paid_at is None:
        return None
    since = (payment.now if refund.attempts == 1 else refund.created_at) - payment.paid_at
    cause = why_not_refund(provider, payment.payment_method, refund.money, payment.captured, since)
    return None if cause is None else RefundByHand(cause)
