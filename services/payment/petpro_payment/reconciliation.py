"""What a provider says now of money that moved: its own list, or its word on each of our own rows.

The provider is asked outside of any transaction, and nothing of what it says is kept.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from petpro_common.db import Database
from petpro_common.pages import moment_of
from petpro_payment import store_reconciliation
from petpro_payment.asking import refund_order
from petpro_payment.domain import Payment
from petpro_payment.errands import Errand
from petpro_payment.errors import ProviderAway
from petpro_payment.outcomes import Captured, RefundAccepted, RefundFailed, RefundSucceeded, Unknown
from petpro_payment.providers.movements import Kind, Movement, Page, Span, State
from petpro_payment.providers.provider import Asked, Provider

_AT_ONCE = 8
_STATES = {RefundAccepted: State.PENDING, RefundSucceeded: State.DONE, RefundFailed: State.FAILED}
_Answer = TypeVar("_Answer")


async def page(database: Database, provider: Provider, span: Span) -> Page:
    """A page of what moved within the span. Raises ProviderAway, and BadPageToken for where no page has ended."""
    if provider.capabilities.lists:
        listed = _definite(await provider.list_movements(span))
        within = [each for each in listed.movements if each.at and span.since <= each.at < span.until]
        return Page(within, listed.end)
    return await (_captures if span.kind is Kind.CAPTURE else _refunds)(database, provider, span)


async def _captures(database: Database, provider: Provider, span: Span) -> Page:
    async with database.reading() as tx:
        ours = await store_reconciliation.payments(tx, provider.capabilities.name, span, _after(span))
    told = await _all(_capture(provider, payment) for payment in ours)
    return Page(told, _end(span, [(payment.paid_at, payment.id) for payment in ours]))


async def _refunds(database: Database, provider: Provider, span: Span) -> Page:
    async with database.reading() as tx:
        ours = await store_reconciliation.refunds(tx, provider.capabilities.name, span, _after(span))
    told = await _all(_refund(provider, errand) for errand in ours)
    return Page(told, _end(span, [(errand.refund.updated_at, errand.refund.id) for errand in ours]))


async def _capture(provider: Provider, payment: Payment) -> Movement | None:
    asked = Asked(payment.id, payment.external_reference, payment.created_at, payment.asked_at or payment.now)
    match _definite(await provider.find_payment(asked)):
        case Captured(external, money, paid_at):
            return Movement(Kind.CAPTURE, str(payment.id), external, State.DONE, money, paid_at)
        case _:
            return None


async def _refund(provider: Provider, errand: Errand) -> Movement | None:
    """The provider tells how it stands, and neither how much nor when."""
    match _definite(await provider.find_refund(refund_order(errand))):
        case RefundAccepted(external) | RefundSucceeded(external) | RefundFailed(external) as found:
            return Movement(Kind.REFUND, str(errand.refund.id), external, _STATES[type(found)], None, None)
        case _:
            return None


async def _all(asking: Iterable[Awaitable[Movement | None]]) -> list[Movement]:
    """All that there is, asked about a few at a time."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Awaitable[Movement | None]) -> Movement | None:
        async with few:
            return await each

    return [found for found in await asyncio.gather(*map(one, asking)) if found]


def _definite(answer: _Answer | Unknown) -> _Answer:
    if isinstance(answer, Unknown):
        raise ProviderAway
    return answer


def _after(span: Span) -> tuple[datetime, UUID] | None:
    return moment_of(span.after.split()) if span.after else None


def _end(span: Span, keys: list[tuple[datetime | None, UUID]]) -> str:
    """Where a page of our own rows ends, if there may be more."""
    if len(keys) < span.size:
        return ""
    at, id_ = keys[-1]
    return f"{at.isoformat()} {id_}" if at else ""
