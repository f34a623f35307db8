"""What payment needs of every provider.

Every call may be made again with the same ids: the provider does it once. A call never raises for what the provider
or the network does; it answers `Unknown` when nobody can tell whether it took effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from petpro_common.money import Money
from petpro_payment.outcomes import PaymentOutcome, RefundOutcome, Unknown
from petpro_payment.providers.capabilities import Capabilities
from petpro_payment.providers.movements import Page, Span


@dataclass(frozen=True)
class PaymentOrder:
    """Money to take. `reference` is our payment's id, and the idempotency key."""

    reference: UUID
    money: Money
    payment_method: str
    payment_token: str
    booking_id: UUID


@dataclass(frozen=True)
class Asked:
    """A payment that the provider may know. Every order for it left between the two instants."""

    reference: UUID
    external_reference: str | None
    """The provider's own name for it, once that is known."""
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class RefundOrder:
    """Money to give back. `reference` is our refund's id, by which it is found there."""

    reference: UUID
    payment_reference: UUID
    payment_external_reference: str
    money: Money
    reason: str
    idempotency_key: str
    """The same as long as nobody knows what became of the order."""
    external_reference: str | None = None
    """The provider's own name for the refund, once that is known."""


class Source(StrEnum):
    """How a provider told us something: by itself, or because we asked."""

    WEBHOOK = "webhook"
    ANSWER = "answer"


@dataclass(frozen=True)
class ProviderEvent:
    """Something that a provider said, checked and read. `reference` is our own id as the provider carries it."""

    event_id: str
    type: str
    reference: str
    outcome: PaymentOutcome | RefundOutcome
    is_refund: bool
    payload: Mapping[str, Any]
    """What is kept of it for ever: never a card, a name or an address."""
    source: Source = Source.WEBHOOK


class Provider(Protocol):
    """A payment provider."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        """Takes money, once per reference."""
        ...

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        """What became of a payment; None when the provider knows none of this reference."""
        ...

    async def cancel_payment(self, asked: Asked) -> PaymentOutcome:
        """Calls a payment off that was found, or tells what became of it when that is too late."""
        ...

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        """Gives money back, once per idempotency key."""
        ...

    async def find_refund(self, order: RefundOrder) -> RefundOutcome | None:
        """What became of a refund; None when the provider knows none of this reference.

        Of several the newest that has not failed, or else the newest: one that failed may have been tried again.
        """
        ...

    async def list_movements(self, span: Span) -> Page | Unknown:
        """A page of the provider's own list; Unknown when it has none, or cannot be had now."""
        ...

    async def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[ProviderEvent]:
        """Checks and reads a webhook, of which nothing is believed that is not signed; header names are in lower case.

        Raises BadSignature when signature, token or time is wrong, BadWebhook when the body cannot be read, and
        ProviderAway when the object it is about could not be fetched. What is about nothing of ours is empty.
        """
        ...


Providers = Mapping[str, Provider]
