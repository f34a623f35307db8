"""Calls that come at the same time share one transaction.

While a batch is carried out, the calls that come in wait for the next one. There is no timer: a call that comes alone
goes at once. Each call gets its own outcome, and when a batch fails as a whole, each of its calls is tried by itself.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

from petpro_common.errors import PetProError, Unavailable

Wish = TypeVar("Wish")
Outcome = TypeVar("Outcome")

_Waiting: TypeAlias = tuple[Wish, asyncio.Future[Outcome]]
_Settled: TypeAlias = Sequence[Outcome | Exception]


class Coalescer(Generic[Wish, Outcome]):
    """Has `carry_out` work on batches of at most `batch` wishes, one batch at a time.

    It returns for each wish an outcome, or the error that its caller gets. Wishes of one key, unless it is None,
    are never in one batch. How many wait is bounded by the calls that the edge lets in.
    """

    def __init__(
        self,
        carry_out: Callable[[Sequence[Wish]], Awaitable[Sequence[Outcome | Exception]]],
        key_of: Callable[[Wish], Hashable],
        batch: int,
    ) -> None:
        self._carry_out = carry_out
        self._key_of = key_of
        self._batch = batch
        self._waiting: deque[_Waiting[Wish, Outcome]] = deque()
        self._work: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()  # a batch belongs to no call

    async def do(self, wish: Wish) -> Outcome:
        """The outcome of one wish. A caller who goes away leaves it undone only while it waits for its batch."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((wish, outcome))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run(), context=self._context.copy())
        return await outcome

    async def _run(self) -> None:
        """Until nobody waits. When it is cancelled, as a library may do from within, all who wait hear of it."""
        batch: Sequence[_Waiting[Wish, Outcome]] = ()
        try:
            while self._waiting:
                batch = self._next_batch()
                await self._settle(batch)
        except asyncio.CancelledError:
            for _, outcome in (*batch, *self._waiting):
                if not outcome.done():
                    outcome.set_exception(Unavailable())
            self._waiting.clear()
            raise

    def _next_batch(self) -> Sequence[_Waiting[Wish, Outcome]]:
        batch: list[_Waiting[Wish, Outcome]] = []
        later: list[_Waiting[Wish, Outcome]] = []
        keys: set[Hashable] = set()
        while self._waiting and len(batch) < self._batch:
            wish, outcome = self._waiting.popleft()
            key = self._key_of(wish)
            if outcome.done():
                continue
            if key is not None and key in keys:
                later.append((wish, outcome))
            else:
                keys.add(key)
                batch.append((wish, outcome))
        self._waiting.extendleft(reversed(later))
        return batch

    async def _settle(self, batch: Sequence[_Waiting[Wish, Outcome]]) -> None:
        if not batch:
            return
        try:
            settled: _Settled[Outcome] = await self._carry_out([wish for wish, _ in batch])
        except Exception as fault:  # noqa: BLE001  # it is the callers' to hear
            if len(batch) == 1 or isinstance(fault, PetProError):
                settled = [fault] * len(batch)
            else:
                for alone in batch:
                    await self._settle([alone])
                return
        for (_, outcome), result in zip(batch, settled, strict=True):
            if outcome.done():
                continue
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)
