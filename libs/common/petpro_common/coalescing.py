"""Calls that come at the same time share one transaction.

While a batch is carried out, the calls that come in wait for the next one. There is no timer: a call that comes alone
goes at once. Each call gets its own outcome, and when a batch fails as a whole, each of its calls is tried by itself.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from petpro_common.errors import PetProError, Unavailable

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

_Requests: TypeAlias = Mapping[asyncio.Future[Outcome], Request]
_Settled: TypeAlias = Sequence[Outcome | Exception]


class Coalescer(Generic[Request, Outcome]):
    """Has `carry_out` work on batches of at most `batch` requests, one batch at a time.

    It returns for each request an outcome, or the error that its caller gets. Requests of one key, unless it is None,
    are never in one batch. How many wait is bounded by the calls that the edge lets in: who gives up is taken out.
    """

    def __init__(
        self,
        carry_out: Callable[[Sequence[Request]], Awaitable[Sequence[Outcome | Exception]]],
        key_of: Callable[[Request], Hashable],
        batch: int,
    ) -> None:
        self._carry_out = carry_out
        self._key_of = key_of
        self._batch = batch
        self._waiting: dict[asyncio.Future[Outcome], Request] = {}
        self._work: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()  # a batch belongs to no call

    async def do(self, request: Request) -> Outcome:
        """The outcome of one request. A caller who goes away leaves it undone only while it waits for its batch."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[outcome] = request
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run(), context=self._context.copy())
        try:
            return await outcome
        finally:
            self._waiting.pop(outcome, None)

    async def _run(self) -> None:
        """Until nobody waits. When it is cancelled, as a library may do from within, all who wait hear of it."""
        batch: _Requests[Outcome, Request] = {}
        try:
            while self._waiting:
                batch = self._next_batch()
                await self._settle(batch)
        except asyncio.CancelledError:
            for outcome in (*batch, *self._waiting):
                if not outcome.done():
                    outcome.set_exception(Unavailable())
            self._waiting.clear()
            raise

    def _next_batch(self) -> _Requests[Outcome, Request]:
        batch: dict[asyncio.Future[Outcome], Request] = {}
        keys: set[Hashable] = set()
        for outcome, request in list(self._waiting.items()):
            if len(batch) == self._batch:
                break
            key = self._key_of(request)
            if outcome.done():
                del self._waiting[outcome]
            elif key is None or key not in keys:
                keys.add(key)
                batch[outcome] = self._waiting.pop(outcome)
        return batch

    async def _settle(self, batch: _Requests[Outcome, Request]) -> None:
        if not batch:
            return
        try:
            settled: _Settled[Outcome] = await self._carry_out(list(batch.values()))
        except Exception as fault:  # noqa: BLE001  # it is the callers' to hear
            if len(batch) == 1 or isinstance(fault, PetProError):
                settled = [fault] * len(batch)
            else:
                for outcome, request in batch.items():
                    await self._settle({outcome: request})
                return
        for outcome, result in zip(batch, settled, strict=True):
            if outcome.done():
                continue
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)
