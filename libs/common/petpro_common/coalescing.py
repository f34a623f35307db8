"""Calls that come at the same time share one transaction.

While a batch is carried out, the calls that come in wait for the next one. There is no timer: a call that comes alone
goes at once. Each call gets its own outcome. A batch that fails as a whole is taken apart by what its calls are about:

    waiting -> batch, committed -> told
                 |
               rolled back -> what is about one thing, together -> told
                                |
                              rolled back -> each by itself -> told

A call that comes alone and takes more than a second is left to itself in the same way.

That is done beside the batches that follow, which leave out what is about the same, or has the same key: so one locked
row keeps only those who need it waiting, and they take one connection.

Where the database went away a batch may have been committed. Then only what may be done twice is tried again.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from petpro_common.db import is_away
from petpro_common.errors import PetProError, Unavailable

_APART_AT_ONCE = 4
_LONG_SECONDS = 1.0  # as long as a batch of several waits for a lock

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

_Requests: TypeAlias = Mapping[asyncio.Future[Outcome], Request]


class Coalescer(Generic[Request, Outcome]):
    """Has `carry_out` work on batches of at most `batch` requests, one batch at a time.

    It returns for each request an outcome, or the error that its caller gets. Requests of one key, unless it is None,
    are never in one batch. `about_of`: the row that a request may have to wait for, where that is not its key.
    `may_repeat`: whether a request that was carried out is known again, so that trying it once more changes nothing.
    How many wait is bounded by the calls that the edge lets in: who gives up is taken out.
    """

    def __init__(
        self,
        carry_out: Callable[[Sequence[Request]], Awaitable[Sequence[Outcome | Exception]]],
        key_of: Callable[[Request], Hashable],
        batch: int,
        about_of: Callable[[Request], Hashable] | None = None,
        may_repeat: Callable[[Request], bool] = lambda _: True,
    ) -> None:
        self._carry_out = carry_out
        self._key_of = key_of
        self._about_of = about_of or key_of
        self._may_repeat = may_repeat
        self._batch = batch
        self._waiting: dict[asyncio.Future[Outcome], Request] = {}
        self._work: asyncio.Task[None] | None = None
        self._apart: dict[Hashable, asyncio.Task[None]] = {}
        """By what they are about: those of a batch that was taken apart, while they are carried out."""
        self._keys_apart: set[Hashable] = set()
        self._places = asyncio.Semaphore(_APART_AT_ONCE)
        self._context = contextvars.copy_context()  # a batch belongs to no call

    async def do(self, request: Request) -> Outcome:
        """The outcome of one request. A caller who goes away leaves it undone only while it waits for its batch."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[outcome] = request
        self._go_on()
        try:
            return await outcome
        finally:
            self._waiting.pop(outcome, None)

    def _go_on(self) -> None:
        if self._waiting and (self._work is None or self._work.done()):
            self._work = asyncio.create_task(self._run(), context=self._context.copy())

    async def _run(self) -> None:
        """Until nobody waits but for what is apart, or another goes on in its place.

        When it is cancelled, as a library may do from within, all who wait hear of it.
        """
        batch: _Requests[Outcome, Request] = {}
        me = asyncio.current_task()
        try:
            while batch := self._next_batch():
                is_settled = await (self._is_settled(batch) if len(batch) > 1 else self._is_settled_alone(batch))
                if self._work is not me:
                    return
                if not is_settled:
                    self._take_apart(batch)
        except asyncio.CancelledError:
            _give_up((*batch, *(self._waiting if self._work is me else ())))
            raise

    async def _is_settled_alone(self, batch: _Requests[Outcome, Request]) -> bool:
        """As `_is_settled`, of one request. When it takes long, those who come after it go on beside it."""
        [(outcome, request)] = batch.items()
        about = self._about(outcome, request)
        overtake = asyncio.get_running_loop().call_later(_LONG_SECONDS, self._overtake, about, batch)
        try:
            return await self._is_settled(batch)
        finally:
            overtake.cancel()
            if about in self._apart:
                self._end_apart(about, batch)

    def _overtake(self, about: Hashable, batch: _Requests[Outcome, Request]) -> None:
        if self._work is not None:
            self._set_apart(about, batch, self._work)
            self._work = None
            self._go_on()

    def _about(self, outcome: asyncio.Future[Outcome], request: Request) -> Hashable:
        about = self._about_of(request)
        return outcome if about is None else about

    def _set_apart(self, about: Hashable, group: _Requests[Outcome, Request], task: asyncio.Task[None]) -> None:
        self._apart[about] = task
        self._keys_apart |= set(map(self._key_of, group.values())) - {None}

    def _end_apart(self, about: Hashable, group: _Requests[Outcome, Request]) -> None:
        del self._apart[about]
        self._keys_apart -= set(map(self._key_of, group.values()))
        self._go_on()

    def _next_batch(self) -> _Requests[Outcome, Request]:
        batch: dict[asyncio.Future[Outcome], Request] = {}
        keys = set(self._keys_apart)
        for outcome, request in list(self._waiting.items()):
            if len(batch) == self._batch:
                break
            key = self._key_of(request)
            if outcome.done():
                del self._waiting[outcome]
            elif self._about_of(request) in self._apart:
                continue
            elif key is None or key not in keys:
                keys.add(key)
                batch[outcome] = self._waiting.pop(outcome)
        return batch

    async def _is_settled(self, batch: _Requests[Outcome, Request]) -> bool:
        """Whether all of a batch have been told what came of it; otherwise each is to be tried by itself."""
        try:
            settled = await self._carry_out(list(batch.values()))
        except Exception as fault:  # noqa: BLE001  # it is the callers' to hear
            if len(batch) > 1 and not isinstance(fault, PetProError):
                self._tell_who_may_be_done(batch, fault)
                return False
            settled = [fault] * len(batch)
        for outcome, result in zip(batch, settled, strict=True):
            _tell(outcome, result)
        return True

    def _tell_who_may_be_done(self, batch: _Requests[Outcome, Request], fault: Exception) -> None:
        """Whoever cannot be tried again hears that nobody knows, as each who comes alone does."""
        for outcome, request in batch.items():
            if is_away(fault) and not self._may_repeat(request):
                _tell(outcome, fault)

    def _take_apart(self, batch: _Requests[Outcome, Request]) -> None:
        groups: dict[Hashable, dict[asyncio.Future[Outcome], Request]] = {}
        for outcome, request in _still_there(batch).items():
            groups.setdefault(self._about(outcome, request), {})[outcome] = request
        for about, group in groups.items():
            task = asyncio.create_task(self._do_apart(about, group, is_part=len(groups) > 1))
            self._set_apart(about, group, task)

    async def _do_apart(self, about: Hashable, group: _Requests[Outcome, Request], is_part: bool) -> None:
        """Has those who are left of a group told; others about the same wait for it."""
        try:
            async with self._places:
                left = _still_there(group)
                if is_part and len(left) > 1:
                    await self._is_settled(left)
                while left := _still_there(group):
                    await self._is_settled(dict([next(iter(left.items()))]))
        except asyncio.CancelledError:
            _give_up(group)
            raise
        finally:
            self._end_apart(about, group)


def _still_there(group: _Requests[Outcome, Request]) -> _Requests[Outcome, Request]:
    """Those who have not been told, and have not gone."""
    return {outcome: request for outcome, request in group.items() if not outcome.done()}


def _tell(outcome: asyncio.Future[Outcome], result: Outcome | Exception) -> None:
    if outcome.done():
        return
    if isinstance(result, Exception):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)


def _give_up(outcomes: Iterable[asyncio.Future[Outcome]]) -> None:
    for outcome in outcomes:
        if not outcome.done():
            outcome.set_exception(Unavailable())
