"""What providers tell us by themselves: checked, kept for ever, and applied once, in whatever order it comes."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from petpro_common import context
from petpro_common.db import Transaction
from petpro_payment import payments, refunds, store_events
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
from petpro_payment.under_lock import UnderLock

_NOBODYS = UUID(int=0)

_log = structlog.get_logger()


async def receive(
    under_lock: UnderLock, providers: Providers, name: str, headers: Mapping[str, str], body: bytes
) -> Sequence[Disposition]:
    """Takes one webhook in, and tells what each of the events in it did. A copy changes nothing.

    Raises ProviderNotFound, BadSignature, BadWebhook and ProviderAway. After any other fault than the first three the
    provider sends it again.
    """
    provider = providers.get(name)
    if provider is None:
        raise ProviderNotFound
    return [await _receive(under_lock, name, event) for event in await provider.read_webhook(headers, body)]


async def _receive(under_lock: UnderLock, provider: str, event: ProviderEvent) -> Disposition:
    async def apply_to_payment(tx: Transaction, payment: Payment | None, is_known: bool) -> Disposition:
        return await _apply(tx, provider, event, payment, None, is_known)

    async def apply_to_refund(tx: Transaction, found: tuple[Payment, Refund] | None, is_known: bool) -> Disposition:
        payment, refund = found or (None, None)
        return await _apply(tx, provider, event, payment, refund, is_known)

    own_id, name = _own_id(event.reference), (provider, event.event_id)
    if event.is_refund:
        return await under_lock.on_refund(own_id, apply_to_refund, name)
    return await under_lock.on_payment(own_id, apply_to_payment, name)


async def _apply(
    tx: Transaction, provider: str, event: ProviderEvent, payment: Payment | None, refund: Refund | None, is_known: bool
) -> Disposition:
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
                    disposition = refunds.learn(tx, payment, refund, outcome)
            case _:
                disposition = Disposition.IGNORED
    store_events.record(tx, provider, event, disposition)
    return disposition


def _own_id(reference: str) -> UUID:
    """Our id in the provider's words, or nobody's for what was never ours."""
    try:
        return UUID(reference)
    except ValueError:
        return _NOBODYS
