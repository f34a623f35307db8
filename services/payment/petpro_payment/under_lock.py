"""Work on payments and refunds under their row locks. What comes at the same time shares a transaction.

A refund's provider answers the worker and sends two webhooks at about the same instant, and so it is with others. Each
by itself would wait for the lock on a connection of its own, and commit by itself.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from petpro_common import context
from petpro_common.coalescing import Coalescer
from petpro_common.context import CallContext
from petpro_common.db import Database, Transaction
from petpro_payment import refund_store, store
from petpro_payment.domain import Payment, Refund

EventName: TypeAlias = tuple[str, str]
"""A provider's name, and the id of an event of its."""

_BATCH = 32
_Result = TypeVar("_Result")
_OnPayment: TypeAlias = Callable[[Transaction, Payment | None, bool], Awaitable[_Result]]
_OnRefund: TypeAlias = Callable[[Transaction, tuple[Payment, Refund] | None, bool], Awaitable[_Result]]


@dataclass(frozen=True)
class _Wish:
    """What is to be done with the payment or refund of an id, in the context of whoever wishes it."""

    id: UUID
    work: Callable[[Transaction, Any, bool], Any]
    event: EventName | None
    around: contextvars.Context = field(default_factory=contextvars.copy_context)

    async def carry_out(self, tx: Transaction, found: Any, known: set[EventName]) -> Any:
        return await asyncio.create_task(self.work(tx, found, self.event in known), context=self.around)


class UnderLock:
    """Has work done on a payment or a refund, in a transaction that has committed when it is done.

    Work is given the locked rows, or None where there are none, and whether an event was recorded before. What raises
    undoes what it shares a transaction with, and then each is done by itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._payments: Coalescer[_Wish, Any] = Coalescer(self._on_payments, lambda wish: wish.id, _BATCH)
        self._refunds: Coalescer[_Wish, Any] = Coalescer(self._on_refunds, lambda wish: wish.id, _BATCH)

    async def on_payment(self, payment_id: UUID, work: _OnPayment[_Result], event: EventName | None = None) -> _Result:
        """What work on a payment gives."""
        result: _Result = await self._payments.do(_Wish(payment_id, work, event))
        return result

    async def on_refund(self, refund_id: UUID, work: _OnRefund[_Result], event: EventName | None = None) -> _Result:
        """What work on a refund, and its payment, gives."""
        result: _Result = await self._refunds.do(_Wish(refund_id, work, event))
        return result

    async def _on_payments(self, wishes: Sequence[_Wish]) -> Sequence[Any]:
        with _as_one_call(wishes):
            async with self._database.transaction() as tx:
                found, known = await store.lock_payments_of(tx, [wish.id for wish in wishes], _events(wishes))
                return [await wish.carry_out(tx, found.get(wish.id), known) for wish in wishes]

    async def _on_refunds(self, wishes: Sequence[_Wish]) -> Sequence[Any]:
        with _as_one_call(wishes):
            async with self._database.transaction() as tx:
                found, known = await refund_store.lock_all_of(tx, [wish.id for wish in wishes], _events(wishes))
                changed: set[UUID] = set()
                results = []
                for wish in wishes:
                    rows = found.get(wish.id)
                    if rows and rows[0].id in changed:  # its sums are others by now
                        rows = await refund_store.lock(tx, wish.id)
                    results.append(await wish.carry_out(tx, rows, known))
                    changed |= {rows[0].id} if rows else set()
                return results


def _events(wishes: Sequence[_Wish]) -> Sequence[EventName]:
    return [wish.event for wish in wishes if wish.event]


def _as_one_call(wishes: Sequence[_Wish]) -> AbstractContextManager[None]:
    """The calls of all wishes as the one in hand, whose commit it is."""
    calls = [call for wish in wishes if (call := wish.around.run(context.current))]
    if not calls:
        return nullcontext()
    first, *others = sorted({call.method for call in calls})
    return context.within(CallContext(first, calls[0].request_id, others=tuple(others)))
