"""The worker: asks providers about what is due, outside of any transaction, and records what it learned.

A payment or refund is taken on lease (`due_at` moves to the lease's end), so a worker that dies holds nothing up.
Between the provider's answer and its record anything may crash: the next worker asks the provider what became of our
reference, and orders again, under the same idempotency key, only what the provider does not know.
"""

import asyncio

import structlog
from psycopg import Error as DatabaseError

from petpro_common import context, telemetry
from petpro_common.context import CallContext
from petpro_common.db import Database, Transaction
from petpro_common.sealing import Opener
from petpro_payment import payments, refunds, store, store_errands, store_events
from petpro_payment.asking import Asking, Timings
from petpro_payment.domain import Disposition, Payment, Refund
from petpro_payment.errands import Errands, Item, booking_of, call_of, traced
from petpro_payment.outcomes import (
    CalledOff,
    Captured,
    Declined,
    PaymentOutcome,
    RefundByHand,
    RefundLater,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
)
from petpro_payment.providers.provider import Providers
from petpro_payment.under_lock import UnderLock

_AT_ONCE = 16
_LONGEST_SLEEP_SECONDS = 1.0
_RETRY_SECONDS = 0.5

_log = structlog.get_logger()


class Worker:
    """Works on payments and refunds that are due, at most sixteen at once; any number of replicas may run."""

    def __init__(
        self, database: Database, under_lock: UnderLock, providers: Providers, timings: Timings, opener: Opener
    ) -> None:
        self.errands = Errands(timings.lease)
        """By which it is given what this process claims as it orders it."""
        self.asking = Asking(providers, timings, opener)
        self._under_lock = under_lock
        self._database = database
        self._timings = timings
        self._woken = asyncio.Event()
        self._is_to_look = True
        self._next_look: asyncio.TimerHandle | None = None
        self._looks_at = 0.0
        self._busy = 0
        self._is_draining = False
        database.listen(store.WORK, lambda _: self._look_now())

    def drain(self) -> None:
        """Claims nothing more: `run` returns as soon as all that it has asked is answered and recorded.

        What it was handed and has no place for is given back at once, for others to ask about.
        """
        self._is_draining = True
        self.errands.close()
        self._woken.set()

    async def run(self) -> None:
        """Runs until drained or cancelled; a fault of the database is logged and tried again."""
        self.errands.serve(lambda: _AT_ONCE - self._busy, self._woken.set)
        try:
            async with asyncio.TaskGroup() as group:
                while not self._is_draining:
                    self._woken.clear()
                    self._begin(group, await self._due())
                    await self._give_back()
                    await self._woken.wait()
                self._begin(group, [])
                await self._give_back()
        finally:
            self.errands.close()

    def _begin(self, group: asyncio.TaskGroup, due: list[Item]) -> None:
        """Begins what is due, and of what was handed over as much as there is room for."""
        for item in [*due, *self.errands.in_time(_AT_ONCE - self._busy - len(due))]:
            self._busy += 1
            group.create_task(self._work(item))

    async def _give_back(self) -> None:
        """Has anybody ask about what was handed over and is not begun here; where that fails, after its lease."""
        if not (left := self.errands.left()):
            return
        try:
            await store_errands.give_back(self._database, left)
        except (DatabaseError, OSError) as fault:
            self._report(fault)
            self._look_in(_RETRY_SECONDS)

    async def _due(self) -> list[Item]:
        """What is due, on lease, if it is time to look.

        While something handed over waits, half of the free places are kept for it; a single free place is its own.
        """
        free = _AT_ONCE - self._busy
        most = free // 2 if self.errands.are_waiting else free
        if not self._is_to_look or not most:
            return []
        self._is_to_look = False
        try:
            due, pause = await self._claim_or_wait(most)
        except (DatabaseError, OSError) as fault:
            self._report(fault)
            due, pause = [], _RETRY_SECONDS
        self._look_in(pause)
        return due

    async def _claim_or_wait(self, limit: int) -> tuple[list[Item], float]:
        """What is due, on lease, and the seconds until something else may be: none when there may be more at once."""
        due, due_in = await store_errands.claim(self._database, self._timings.lease, limit)
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

    async def step(self, item: Item) -> float | None:
        """Asks the provider about one item and records what it said; the seconds until it is looked at again, if so."""
        if isinstance(item, Payment):
            return await self.record_payment(item, await self.asking.about_payment(item))
        return await self.record_refund(item.refund, await self.asking.about_refund(item))

    async def record_payment(self, asked: Payment, outcome: PaymentOutcome) -> float | None:
        """Records what was learned; an open payment is looked at again, at once when it was called off meanwhile."""

        is_over = isinstance(outcome, Captured | Declined | CalledOff)
        pause = None if is_over else self._timings.pause(asked.attempts)

        async def record(tx: Transaction, payment: Payment | None, _: bool) -> Disposition:
            nonlocal pause
            if payment is None:
                return Disposition.IGNORED
            disposition = await payments.learn(tx, payment, outcome)
            store_events.record_answer(tx, payment.provider, payment.id, asked.attempts, outcome, disposition)
            if pause is not None:
                pause = 0.0 if payment.is_called_off and not asked.is_called_off else pause
                store.postpone_payment(tx, asked.id, pause)
            return disposition

        await self._under_lock.on_payment(asked.id, record)
        return pause

    async def record_refund(self, asked: Refund, outcome: RefundOutcome) -> float | None:
        """Records what was learned; a refund that is still on its way is looked at again."""

        is_over = isinstance(outcome, RefundSucceeded | RefundRefused | RefundByHand)
        pause = None if is_over else self._timings.pause(asked.attempts)
        if isinstance(outcome, RefundLater):
            pause = self._timings.pause_put_off()

        async def record(tx: Transaction, found: tuple[Payment, Refund] | None, _: bool) -> Disposition:
            if found is None:
                return Disposition.IGNORED
            is_current = asked.retries == found[1].retries
            disposition = refunds.learn(tx, *found, outcome, pause, is_current=is_current)
            store_events.record_answer(tx, found[0].provider, asked.id, asked.attempts, outcome, disposition)
            return disposition

        await self._under_lock.on_refund(asked.id, record)
        return pause

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
