"""What providers tell us by themselves: checked, kept for ever, and applied once, in whatever order it comes."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from petpro_common import context
from petpro_common.db import Database, Transaction
from petpro_payment import payments, refund_store, refunds, store
from petpro_payment.domain import Disposition, Payment, Refund
from petpro_payment.errors import ProviderNotFound
from petpro_payment.outcomes import (
    CalledOff,
    Captured,
    Declined,
    Processing,
    RefundAccepted,
    RefundFailed,
    RefundRefused,
    RefundSucceeded,
)
from petpro_payment.providers.provider import ProviderEvent, Providers

_log = structlog.get_logger()


async def receive(
    database: Database, providers: Providers, name: str, headers: Mapping[str, str], body: bytes
) -> Sequence[Disposition]:
    """Takes one webhook in, and tells what each of the events in it did. A copy changes nothing.

    Raises ProviderNotFound, BadSignature, BadWebhook and ProviderAway. After any other fault than the first three the
    provider sends it again.
    """
    provider = providers.get(name)
    if provider is None:
        raise ProviderNotFound
    return [await _receive(database, name, event) for event in await provider.read_webhook(headers, body)]


async def _receive(database: Database, provider: str, event: ProviderEvent) -> Disposition:
    async with database.transaction() as tx:
        return await _apply(tx, provider, event)


async def _apply(tx: Transaction, provider: str, event: ProviderEvent) -> Disposition:
    own_id = _own_id(event.reference)
    payment, refund = await _locked(tx, own_id, event.is_refund) if own_id else (None, None)
    with context.about(booking_id=payment.booking_id if payment else None):
        disposition = await _learn(tx, provider, event, payment, refund)
        _log.info("webhook", provider=provider, event_id=event.event_id, type=event.type, disposition=disposition)
    return disposition


async def _learn(
    tx: Transaction, provider: str, event: ProviderEvent, payment: Payment | None, refund: Refund | None
) -> Disposition:
    if await store.knows_event(tx, provider, event.event_id):
        return Disposition.IGNORED
    disposition = Disposition.UNKNOWN
    if payment is not None and payment.provider == provider:
        match event.outcome:
            case Captured() | Declined() | CalledOff() | Processing() as outcome:
                disposition = await payments.learn(tx, payment, outcome)
            case RefundAccepted() | RefundSucceeded() | RefundRefused() | RefundFailed() as outcome:
                if refund is not None:
                    disposition = await refunds.learn(tx, payment, refund, outcome)
            case _:
                disposition = Disposition.IGNORED
    store.record_event(tx, provider, event, disposition)
    return disposition


async def _locked(tx: Transaction, own_id: UUID, is_refund: bool) -> tuple[Payment | None, Refund | None]:
    """The payment that the event is about, under its row lock, and the refund if it is about one."""
    if is_refund:
        return await refund_store.lock(tx, own_id) or (None, None)
    return await store.lock_payment(tx, own_id), None


def _own_id(reference: str) -> UUID | None:
    """Our id in the provider's words, or None for what was never ours."""
    try:
        return UUID(reference)
    except ValueError:
        return None
