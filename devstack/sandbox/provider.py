"""The provider at work: its store, and the rounds that settle and tell what is due."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import ClientSession

from devstack.sandbox import payments, refunds
from devstack.sandbox.clock import now
from devstack.sandbox.rounds import Rounds
from devstack.sandbox.settings import Settings, Timings
from devstack.sandbox.store import Store, Transaction
from devstack.sandbox.webhooks import Courier

Result = TypeVar("Result")


class Provider:
    """What the HTTP side asks; made by `open_provider`."""

    def __init__(self, store: Store, courier: Courier, timings: Timings) -> None:
        self.timings = timings
        self._store = store
        self.telling = Rounds(courier.deliver_due)
        self.settling = Rounds(self._settle_due)

    async def read(self, ask: Callable[[Transaction], Result]) -> Result:
        """Run a question in a transaction, off the event loop."""
        return await asyncio.to_thread(self._in_transaction, ask)

    async def change(self, act: Callable[[Transaction], Result]) -> Result:
        """Run a change in a transaction, off the event loop, and see to what follows from it."""
        result = await self.read(act)
        self.settling.wake()
        self.telling.wake()
        return result

    def _in_transaction(self, act: Callable[[Transaction], Result]) -> Result:
        with self._store.transaction() as tx:
            return act(tx)

    async def _settle_due(self) -> float | None:
        upcoming = await self.read(self._settle)
        self.telling.wake()
        return None if upcoming is None else max(0.0, (upcoming - now()) / 1_000_000)

    def _settle(self, tx: Transaction) -> int | None:
        instant = now()
        payments.settle_due(tx, self.timings, instant)
        refunds.settle_due(tx, self.timings, instant)
        return tx.next_settlement()


@asynccontextmanager
async def open_provider(settings: Settings) -> AsyncIterator[Provider]:
    """The provider on its state folder, at work until the block ends."""
    store = Store(settings.state / "sandbox.sqlite3")
    async with ClientSession() as client:
        courier = Courier(store, client, settings.webhook_url, settings.webhook_secret, settings.timings)
        provider = Provider(store, courier, settings.timings)
        rounds = [asyncio.create_task(provider.settling.run()), asyncio.create_task(provider.telling.run())]
        try:
            yield provider
        finally:
            for task in rounds:
                task.cancel()
            await asyncio.gather(*rounds, return_exceptions=True)
            store.close()
