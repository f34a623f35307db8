"""The provider at work: one transaction after the other, on one event loop, without threads.

    calls, answers to webhooks, the clock ──► round: one transaction ──► answers, webhooks that leave

What is asked during a round waits for the next and shares its transaction: however many ask at once, the disk is
waited for once, and nobody is answered before. The event loop stands still meanwhile; there is nothing it could say.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import ClientSession

from devstack.sandbox import payments, refunds, webhooks
from devstack.sandbox.clock import now
from devstack.sandbox.settings import Settings, Timings
from devstack.sandbox.store import Delivery, Store, Transaction
from devstack.sandbox.webhooks import Courier

Result = TypeVar("Result")

_LETTERS_AT_A_TIME = 16
_LETTERS_WAIT = 0.02
"""Seconds in which letters that have arrived are gathered: one that is forgotten in a crash only comes again."""
_SHORTEST_PAUSE, _PAUSE_AFTER_A_FAULT = 0.001, 1.0
_log = logging.getLogger("sandbox.provider")


class Provider:
    """What the HTTP side asks; made by `open_provider`."""

    def __init__(self, store: Store, courier: Courier, timings: Timings) -> None:
        self.timings = timings
        self._store = store
        self._courier = courier
        self._asked: list[tuple[Callable[[Transaction], Any], asyncio.Future[Any]]] = []
        self._on_their_way: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._begins: asyncio.Handle = self._loop.call_soon(self._round)
        self._begins_at = self._loop.time()

    async def do(self, act: Callable[[Transaction], Result], within: float = 0.0) -> Result:
        """The result of a question or a change, once it is on the disk. What it raises undoes it, and nothing else.

        `within` so many seconds a round begins; one that begins for another reason takes it along.
        """
        result: asyncio.Future[Result] = self._loop.create_future()
        self._asked.append((act, result))
        self._begin(within)
        return await result

    async def close(self) -> None:
        """Webhooks that are on their way leave again at the next start."""
        self._begins.cancel()
        leaving = list(self._on_their_way.values())
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        self._store.close()

    def _begin(self, within: float) -> None:
        """Have a round within so many seconds, or earlier when one is set for earlier."""
        begins_at = self._loop.time() + within
        if begins_at < self._begins_at:
            self._begins.cancel()
            self._begins, self._begins_at = self._loop.call_later(within, self._round), begins_at

    def _round(self) -> None:
        """Do what was asked and what has become due, commit, answer, and let webhooks leave."""
        asked, self._asked, self._begins_at = self._asked, [], math.inf
        try:
            with self._store.transaction() as tx:
                outcomes = [tx.attempt(act) for act, _ in asked]
                due, pause = self._what_is_due(tx)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is answered, and what is due stays due
            _log.exception("a round failed; what is due is tried again")
            outcomes, due, pause = [fault] * len(asked), [], _PAUSE_AFTER_A_FAULT
        for (_, result), outcome in zip(asked, outcomes, strict=True):
            _give(result, outcome)
        for delivery in due:
            self._on_their_way[delivery.seq] = self._loop.create_task(self._deliver(delivery))
        if pause is not None:
            self._begin(pause)

    def _what_is_due(self, tx: Transaction) -> tuple[list[Delivery], float | None]:
        """The letters that leave now, and the seconds until something else is due; None when nothing waits."""
        instant = now()
        payments.settle_due(tx, self.timings, instant)
        refunds.settle_due(tx, self.timings, instant)
        letters = tx.deliveries_due(instant, _LETTERS_AT_A_TIME)
        upcoming = tx.next_due(instant)
        pause = None if upcoming is None else max(_SHORTEST_PAUSE, (upcoming - now()) / 1_000_000)
        return [letter for letter in letters if letter.seq not in self._on_their_way], pause

    async def _deliver(self, letter: Delivery) -> None:
        try:
            arrived = await self._courier.carry(letter)
        finally:
            del self._on_their_way[letter.seq]
        await self.do(lambda tx: webhooks.carried(tx, self.timings, now(), letter, arrived=arrived), _LETTERS_WAIT)


def _give(result: asyncio.Future[Any], outcome: object) -> None:
    if result.cancelled():
        return
    if isinstance(outcome, Exception):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)


@asynccontextmanager
async def open_provider(settings: Settings) -> AsyncIterator[Provider]:
    """The provider on its state folder, at work until the block ends."""
    store = Store(settings.state / "sandbox.sqlite3")
    async with ClientSession() as client:
        courier = Courier(client, settings.webhook_url, settings.webhook_secret)
        provider = Provider(store, courier, settings.timings)
        try:
            yield provider
        finally:
            await provider.close()
