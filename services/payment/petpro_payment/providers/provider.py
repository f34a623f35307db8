"""What payment needs of every provider.

Every call may be made again with the same ids: the provider does it once. A call never raises for what the provider
or the network does; it answers `Unknown` when nobody can tell whether it took effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from petpro_common.money import Money
from petpro_payment.outcomes import PaymentOutcome, RefundOutcome


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do, beyond the least."""

    name: str
    payment_methods: frozenset[str]
    cancels: bool
    """A payment that waits for the customer can be called off."""
    partial_refunds: bool
    signs_webhooks: bool
    """Webhooks carry a signature over the body; otherwise the object must be fetched before it is believed."""


@dataclass(frozen=True)
class PaymentOrder:
    """Money to take. `reference` is our payment's id, and the idempotency key."""

    reference: UUID
    money: Money
    payment_method: str
    payment_token: str
    booking_id: UUID


@dataclass(frozen=True)
class RefundOrder:
    """Money to give back. `reference` is our refund's id, and the idempotency key."""

    reference: UUID
    payment_external_reference: str
    money: Money
    reason: str


@dataclass(frozen=True)
class ProviderEvent:
    """One webhook, checked and read. `reference` is our own id as the provider carries it."""

    event_id: str
    type: str
    reference: str
    outcome: PaymentOutcome | RefundOutcome
    is_refund: bool
    payload: Mapping[str, Any]


class Provider(Protocol):
    """A payment provider."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        """Takes money, once per reference."""
        ...

    async def find_payment(self, reference: UUID) -> PaymentOutcome | None:
        """What became of a payment; None when the provider knows none of this reference."""
        ...

    async def cancel_payment(self, external_reference: str) -> PaymentOutcome:
        """Calls a payment off, or tells what became of it when that is too late."""
        ...

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        """Gives money back, once per reference."""
        ...

    async def find_refund(self, reference: UUID) -> RefundOutcome | None:
        """What became of a refund; None when the provider knows none of this reference."""
        ...

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> ProviderEvent:
        """Checks and reads a webhook; header names are in lower case.

        Raises BadSignature when the signature or its time is wrong, BadWebhook when the body cannot be read.
        """
        ...


Providers = Mapping[str, Provider]
