"""A provider that is played: it keeps its word, and fails on its way in and out as a test tells it to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from petpro_common.money import Money
from petpro_payment.outcomes import (
    CalledOff,
    Captured,
    PaymentOutcome,
    Processing,
    RefundAccepted,
    RefundFailed,
    RefundLater,
    RefundOutcome,
    RefundRefused,
    RefundSucceeded,
    Unknown,
)
from petpro_payment.providers.capabilities import Capabilities, Method
from petpro_payment.providers.movements import Page, Span
from petpro_payment.providers.provider import Asked, PaymentOrder, ProviderEvent, RefundOrder


@dataclass
class PlayedProvider:
    """Keeps payments and refunds by reference. `deaf`: nothing arrives. `mute`: it acts, and its answer is lost."""

    deaf: bool = False
    mute: bool = False
    waits_for_customer: bool = False
    takes_instead: Money | None = None
    refuses_refunds: bool = False
    puts_refunds_off: bool = False
    payments: dict[UUID, PaymentOutcome] = field(default_factory=dict)
    refunds: dict[UUID, RefundOutcome] = field(default_factory=dict)
    charges: list[UUID] = field(default_factory=list)
    """References for which money was taken, once for each time."""
    refused: set[str] = field(default_factory=set)
    """Idempotency keys of refused refunds: the same key has the same answer for ever."""
    put_off: set[str] = field(default_factory=set)
    """The same of those that it may make later."""
    tokens: list[str] = field(default_factory=list)
    """What the customers paid with."""

    capabilities = Capabilities(
        name="played",
        methods={"card": Method()},
        currencies={"IDR": 2, "USD": 2, "JPY": 0},
        lists=False,
    )

    async def create_payment(self, order: PaymentOrder) -> PaymentOutcome:
        if self.deaf:
            return Unknown("deaf")
        self.tokens.append(order.payment_token)
        if order.reference not in self.payments:
            self.payments[order.reference] = self._new_payment(order)
        return Unknown("mute") if self.mute else self.payments[order.reference]

    def _new_payment(self, order: PaymentOrder) -> PaymentOutcome:
        external = f"pi_{order.reference}"
        if self.waits_for_customer:
            return Processing(external, "scan me")
        return self.take(order.reference, self.takes_instead or order.money)

    def take(self, reference: UUID, money: Money) -> Captured:
        """The customer pays."""
        captured = Captured(f"pi_{reference}", money, datetime.now(UTC))
        self.payments[reference] = captured
        self.charges.append(reference)
        return captured

    async def find_payment(self, asked: Asked) -> PaymentOutcome | None:
        return Unknown("deaf") if self.deaf else self.payments.get(asked.reference)

    async def cancel_payment(self, asked: Asked) -> PaymentOutcome:
        if self.deaf:
            return Unknown("deaf")
        reference = asked.reference
        if isinstance(self.payments[reference], Processing):
            self.payments[reference] = CalledOff(f"pi_{reference}")
        return Unknown("mute") if self.mute else self.payments[reference]

    async def create_refund(self, order: RefundOrder) -> RefundOutcome:
        if self.deaf:
            return Unknown("deaf")
        if self.refuses_refunds or order.idempotency_key in self.refused:
            self.refused.add(order.idempotency_key)
            return RefundRefused("refund_refused")
        if self.puts_refunds_off or order.idempotency_key in self.put_off:
            self.put_off.add(order.idempotency_key)
            return RefundLater("balance too low")
        known, external = self.refunds.get(order.reference), f"re_{order.idempotency_key}"
        if known is None or (isinstance(known, RefundFailed) and known.external_reference != external):
            self.refunds[order.reference] = RefundAccepted(external)
        return Unknown("mute") if self.mute else self.refunds[order.reference]

    def send_back(self, reference: UUID) -> RefundSucceeded:
        """The bank lets a refund through."""
        external = getattr(self.refunds.get(reference), "external_reference", f"re_{reference}")
        self.refunds[reference] = RefundSucceeded(external)
        return RefundSucceeded(external)

    def fail(self, reference: UUID) -> RefundFailed:
        """The bank does not."""
        failed = RefundFailed(self.send_back(reference).external_reference, "account_closed")
        self.refunds[reference] = failed
        return failed

    async def find_refund(self, order: RefundOrder) -> RefundOutcome | None:
        return Unknown("deaf") if self.deaf else self.refunds.get(order.reference)

    async def list_movements(self, span: Span) -> Page | Unknown:
        return Unknown("the played provider has no list")

    async def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[ProviderEvent]:
        raise AssertionError("the played provider tells nothing by itself")
