"""What a provider says of a payment or a refund, when it is asked. No transaction is open, and nothing is written.

The first time it is ordered. Later the provider is asked what became of our reference, and only what it does not know
is ordered again, under the same idempotency key until that was definitely refused.
"""

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import structlog

from petpro_common import kill_points, telemetry
from petpro_common.kill_points import Moment
from petpro_common.sealing import Opener
from petpro_payment import metrics
from petpro_payment.domain import Payment
from petpro_payment.errands import LONGEST_ASKING, Errand
from petpro_payment.moves import is_of_earlier
from petpro_payment.outcomes import (
    CalledOff,
    PaymentOutcome,
    Processing,
    RefundByHand,
    RefundLater,
    RefundOutcome,
    Unknown,
)
from petpro_payment.providers.capabilities import Capabilities, why_not_refund
from petpro_payment.providers.provider import Asked, PaymentOrder, Provider, Providers, RefundOrder

_log = structlog.get_logger()
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class Timings:
    """Seconds. `put_off`, no setting, is the least until a refund is ordered again; see the settings for the others."""

    lease: float = 30.0
    not_found_grace: float = 30.0
    poll: float = 1.0
    poll_limit: float = 30.0
    put_off: float = 600.0

    def pause(self, attempts: int) -> float:
        """Until the next look after so many: doubling, and half of it at random."""
        longest = min(self.poll * 2.0 ** min(attempts - 1, 20), self.poll_limit)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret

    def pause_put_off(self) -> float:
        """Until a refund that its provider has put off is ordered again."""
        return self.put_off * random.uniform(1.0, 1.5)  # noqa: S311


class Asking:
    """Asks providers. A fault of theirs or of ours, whatever it is, leaves the outcome unknown."""

    def __init__(self, providers: Providers, timings: Timings, opener: Opener) -> None:
        self._providers = providers
        self._timings = timings
        self._opener = opener
        for name in providers:  # from nothing on: a rate does not see a series begin at one
            metrics.UNKNOWN_OUTCOMES.labels(name)

    async def about_payment(self, payment: Payment) -> PaymentOutcome:
        """What has become of a payment."""
        provider = self._providers[payment.provider]
        return await self._asked(provider, self._payment_outcome(provider, payment))

    async def about_refund(self, errand: Errand) -> RefundOutcome:
        """What has become of a refund."""
        if errand.payment.external_reference is None:
            return Unknown("the payment has no reference at the provider")
        provider = self._providers[errand.payment.provider]
        return await self._asked(provider, _refund_outcome(provider, errand))

    async def _payment_outcome(self, provider: Provider, payment: Payment) -> PaymentOutcome:
        calling_off = payment.is_called_off or payment.is_overdue
        if payment.attempts == 1 and not calling_off:
            return await provider.create_payment(self._order(payment))
        asked = Asked(payment.id, payment.external_reference, payment.created_at, payment.asked_at or payment.now)
        found = await provider.find_payment(asked)
        if found is None:
            return self._never_arrived(payment) if calling_off else await provider.create_payment(self._order(payment))
        if calling_off and isinstance(found, Processing):
            return await provider.cancel_payment(replace(asked, external_reference=found.external_reference))
        return found

    def _order(self, payment: Payment) -> PaymentOrder:
        token = self._opener.open(payment.payment_token or "", str(payment.id))
        return PaymentOrder(payment.id, payment.money, payment.payment_method, token, payment.booking_id)

    def _never_arrived(self, payment: Payment) -> PaymentOutcome:
        """The provider knows nothing of it. An order of ours that is still on its way may yet arrive."""
        grace = timedelta(seconds=self._timings.not_found_grace)
        if payment.asked_at is not None and payment.now - payment.asked_at < grace:
            return Unknown("not there, or not there yet")
        return CalledOff()

    async def _asked(self, provider: Provider, asking: Awaitable[_Outcome]) -> _Outcome | Unknown:
        """The outcome. Whatever else happens while asking, a fault of an adapter too, tells nothing of the money."""
        outcome: _Outcome | Unknown
        kill_points.reach(Moment.BEFORE_CALL)
        try:
            with telemetry.call_out(f"ask {provider.capabilities.name}"):
                async with asyncio.timeout(self._timings.lease * LONGEST_ASKING):
                    outcome = await asking
        except Exception as fault:  # noqa: BLE001  # no fault may pass for an outcome
            _log.error("asking the provider failed", provider=provider.capabilities.name, exc_info=fault)
            outcome = Unknown(type(fault).__name__)
        if isinstance(outcome, Unknown):
            metrics.UNKNOWN_OUTCOMES.labels(provider.capabilities.name).inc()
            _log.warning("outcome is not known", provider=provider.capabilities.name, cause=outcome.cause)
        if isinstance(outcome, RefundLater):
            _log.warning("refund is put off", provider=provider.capabilities.name, cause=outcome.cause)
        kill_points.reach(Moment.AFTER_CALL)
        return outcome


def refund_order(errand: Errand) -> RefundOrder:
    """The order for a refund, by which it is also looked for."""
    refund, payment = errand.refund, errand.payment
    return RefundOrder(
        reference=refund.id,
        payment_reference=payment.id,
        payment_external_reference=payment.external_reference or "",
        money=refund.money,
        reason=refund.reason,
        idempotency_key=refund.idempotency_key,
        external_reference=refund.external_reference,
    )


async def _refund_outcome(provider: Provider, errand: Errand) -> RefundOutcome:
    order = refund_order(errand)
    found = await provider.find_refund(order) if errand.refund.attempts > 1 else None
    if found is not None and not is_of_earlier(errand.refund, found, is_current=True):
        return found
    if not errand.refund.status.is_submitted:
        return Unknown("a refund that the provider had taken on is not there")
    return _by_hand(provider.capabilities, errand) or await provider.create_refund(order)


def _by_hand(provider: Capabilities, errand: Errand) -> RefundByHand | None:
    """What the provider cannot give back, and so was never ordered there, however often a worker died before that.

    A window may have closed since an order went out, unless it had before the refund was there.
    """
    refund, payment = errand.refund, errand.payment
    if payment.paid_at is None:
        return None
    since = (payment.now if refund.attempts == 1 else refund.created_at) - payment.paid_at
    cause = why_not_refund(provider, payment.payment_method, refund.money, payment.captured, since)
    return None if cause is None else RefundByHand(cause)
