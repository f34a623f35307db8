"""Work on payments and refunds under their row locks. What comes at the same time shares a transaction.

A refund's provider answers the worker and sends two webhooks at about the same instant, and so it is with others. Each
by itself would wait for the lock on a connection of its own, and commit by itself. Of the three mostly one changes
anything.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from petpro_common import context
from petpro_common.coalescing import Coalescer
from petpro_common.context import CallContext
from petpro_common.db import Database, Transaction
from petpro_payment import store, store_refunds
from petpro_payment.domain import Disposition, Payment, Refund

EventName: TypeAlias = tuple[str, str]
"""A provider's name, and the id of an event of its."""

_BATCH = 96  # mostly three are about one refund
_CHANGED = (Disposition.APPLIED, Disposition.QUARANTINED)
_Rows = TypeVar("_Rows")
_OnPayment: TypeAlias = Callable[[Transaction, Payment | None, bool], Coroutine[Any, Any, Disposition]]
_OnRefund: TypeAlias = Callable[[Transaction, tuple[Payment, Refund] | None, bool], Coroutine[Any, Any, Disposition]]


@dataclass(frozen=True, eq=False)
class _Request:
    """What is to be done with the payment or refund of an id, in the context of whoever asks for it."""

    id: UUID
    work: Callable[[Transaction, Any, bool], Coroutine[Any, Any, Disposition]]
    event: EventName | None
    around: contextvars.Context = field(default_factory=contextvars.copy_context)

    async def carry_out(self, tx: Transaction, found: Any, known: set[EventName]) -> Disposition:
        return await asyncio.create_task(self.work(tx, found, self.event in known), context=self.around)


class UnderLock:
    """Has work done on a payment or a refund, in a transaction that has committed when it is done.

    Work is given the locked rows, or None where there are none, and whether an event was recorded before. What is about
    one payment is done in the order in which it came. What raises undoes what it shares a transaction with, and then
    each is done by itself; a payment that somebody has locked keeps waiting what is about others for a second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._payments: Coalescer[_Request, Disposition] = Coalescer(
            self._on_payments, lambda _: None, _BATCH, about_of=lambda request: request.id
        )
        self._refunds: Coalescer[_Request, Disposition] = Coalescer(
            self._on_refunds, lambda _: None, _BATCH, about_of=lambda request: request.id
        )

    async def on_payment(self, payment_id: UUID, work: _OnPayment, event: EventName | None = None) -> Disposition:
        """What work on a payment has come to."""
        return await self._payments.do(_Request(payment_id, work, event))

    async def on_refund(self, refund_id: UUID, work: _OnRefund, event: EventName | None = None) -> Disposition:
        """What work on a refund, and its payment, has come to."""
        return await self._refunds.do(_Request(refund_id, work, event))

    async def _on_payments(self, requests: Sequence[_Request]) -> Sequence[Disposition]:
        with _as_one_call(requests):
            async with self._database.transaction() as tx:
                if len(requests) > 1:
                    tx.wait_briefly()
                found, known = await store.lock_all_of(tx, _ids(requests), _events(requests))
                return await _in_turn(tx, requests, found, known, store.lock_payments, lambda payment: payment.id)

    async def _on_refunds(self, requests: Sequence[_Request]) -> Sequence[Disposition]:
        with _as_one_call(requests):
            async with self._database.transaction() as tx:
                if len(requests) > 1:
                    tx.wait_briefly()
                found, known = await store_refunds.lock_all_of(tx, _ids(requests), _events(requests))
                return await _in_turn(tx, requests, found, known, store_refunds.lock_all, lambda rows: rows[0].id)


async def _in_turn(
    tx: Transaction,
    requests: Sequence[_Request],
    found: Mapping[UUID, _Rows],
    known: set[EventName],
    lock_all: Callable[[Transaction, Sequence[UUID]], Awaitable[Mapping[UUID, _Rows]]],
    payment_of: Callable[[_Rows], UUID],
) -> Sequence[Disposition]:
    """Has all requests carried out. Those about a payment that has changed wait, and find it as it is then."""
    came_to: dict[_Request, Disposition] = {}
    left = requests
    while left:
        changed: set[UUID] = set()
        for request in left:
            rows = found.get(request.id)
            if rows and payment_of(rows) in changed:
                continue
            came_to[request] = await request.carry_out(tx, rows, known)
            if request.event:
                known.add(request.event)
            if rows and came_to[request] in _CHANGED:
                changed.add(payment_of(rows))
        left = [request for request in left if request not in came_to]
        if left:
            await tx.flush()
            found = await lock_all(tx, _ids(left))
    return [came_to[request] for request in requests]


def _ids(requests: Sequence[_Request]) -> list[UUID]:
    return [request.id for request in requests]


def _events(requests: Sequence[_Request]) -> Sequence[EventName]:
    return [request.event for request in requests if request.event]


def _as_one_call(requests: Sequence[_Request]) -> AbstractContextManager[None]:
    """The calls of all requests as the one in hand, whose commit it is."""
    calls = [call for request in requests if (call := request.around.run(context.current))]
    if not calls:
        return nullcontext()
    first, *others = sorted({call.method for call in calls})
    return context.within(CallContext(first, calls[0].request_id, others=tuple(others)))
