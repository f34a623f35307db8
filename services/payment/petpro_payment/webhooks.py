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
    payment, refund, is_known = await _locked(tx, provider, event)
    with context.about(booking_id=payment.booking_id if payment else None):
        disposition = Disposition.IGNORED if is_known else await _learn(tx, provider, event, payment, refund)
        _log.info("webhook", provider=provider, event_id=event.event_id, type=event.type, disposition=disposition)
    return disposition


async def _learn(
    tx: Transaction, provider: str, event: ProviderEvent, payment: Payment | None, refund: Refund | None
) -> Disposition:
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


async def _locked(tx: Transaction, provider: str, event: ProviderEvent) -> tuple[Payment | None, Refund | None, bool]:
    """The payment that the event is about, under its row lock, the refund if it is about one, and whether the event
    was recorded before."""
    own_id, asked = _own_id(event.reference), store.is_known(provider, event.event_id)
    if own_id is None:
        return None, None, bool((await tx.execute(*asked)).scalar())
    if event.is_refund:
        found, is_known = await refund_store.lock_of(tx, own_id, asked)
        return *(found or (None, None)), is_known
    payment, is_known = await store.lock_payment_of(tx, own_id, asked)
    return payment, None, is_known


def _own_id(reference: str) -> UUID | None:
    """Our id in the provider's words, or None for what was never ours."""
    try:
        return UUID(reference)
    except ValueError:
        return None
