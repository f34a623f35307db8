"""What the money test compares the service with: amounts and statuses, and what the books must say of the tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from petpro.payment.v1 import commands_pb2
from petpro_common.ids import new_id
from petpro_payment.outcomes import (
    Captured,
    Declined,
    RefundAccepted,
    RefundFailed,
    RefundOutcome,
    RefundSucceeded,
)
from petpro_payment.providers.provider import ProviderEvent
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import Sale

PRICES = st.sampled_from([("250000", "IDR"), ("99.97", "USD"), ("3001", "JPY"), ("0.03", "USD")])
REFUND_WORDS = st.sampled_from([RefundAccepted, RefundSucceeded, RefundFailed])
SUBMITTED = ("submitted", "unknown", "waiting")
FOR_A_PERSON = ("manual", "reversed")
SET_ASIDE = ("reserved", *SUBMITTED, "pending", *FOR_A_PERSON)
OPEN = ("pending", "processing", "unknown")
"""Of a payment; the model tells these not apart."""

UNBALANCED = """
    SELECT t.id FROM journal_transactions t LEFT JOIN journal_lines l ON l.transaction_id = t.id
    WHERE t.clinic_id = :clinic GROUP BY t.id HAVING sum(l.amount) IS DISTINCT FROM 0
"""
ASTRAY = """
    SELECT currency, sum(amount) AS amount FROM (
        SELECT currency, clinic_amount AS amount FROM financial_entries
        WHERE clinic_id = :clinic AND status <> 'cancelled'
        UNION ALL SELECT currency, -clinic_amount FROM financial_entries
        WHERE clinic_id = :clinic AND status = 'pending'
        UNION ALL SELECT currency, -clinic_amount FROM settlements WHERE clinic_id = :clinic
    ) AS earned_less_paid GROUP BY 1 HAVING sum(amount) <> 0
"""
"""What a clinic was paid beyond its entries, or is owed beyond those that wait for its next settlement."""

BOOKS = """
    SELECT account || ' ' || currency AS account, sum(amount) AS balance
    FROM journal_lines JOIN journal_transactions t ON t.id = transaction_id
    WHERE clinic_id = :clinic GROUP BY 1 HAVING sum(amount) <> 0
"""
TABLES = """
    SELECT account || ' ' || currency AS account, sum(amount) AS balance FROM (
        SELECT 'provider_clearing' AS account, currency, captured - refund_done AS amount FROM payments
        WHERE clinic_id = :clinic
        UNION ALL SELECT 'provider_clearing', r.currency, r.amount FROM refunds r JOIN payments p ON p.id = payment_id
        WHERE clinic_id = :clinic AND r.status = 'succeeded' AND paid_out_reference IS NOT NULL
        UNION ALL SELECT 'payout_clearing', r.currency, -r.amount FROM refunds r JOIN payments p ON p.id = payment_id
        WHERE clinic_id = :clinic AND r.status = 'succeeded' AND paid_out_reference IS NOT NULL
        UNION ALL SELECT 'customer_liability', currency, refund_done - captured FROM payments WHERE clinic_id = :clinic
        UNION ALL SELECT account, currency, share FROM financial_entries e CROSS JOIN LATERAL (VALUES
            ('customer_liability', total_amount), ('platform_revenue', -platform_fee), ('tax_payable', -tax_amount),
            ('clinic_payable', -clinic_amount)) AS shares (account, share)
        WHERE clinic_id = :clinic AND status <> 'cancelled'
        UNION ALL SELECT account, currency, share FROM settlements CROSS JOIN LATERAL (VALUES
            ('clinic_payable', clinic_amount), ('payout_clearing', -clinic_amount)) AS shares (account, share)
        WHERE clinic_id = :clinic
    ) AS facts GROUP BY 1 HAVING sum(amount) <> 0
"""


@dataclass
class Telling(PlayedProvider):
    """A provider that also tells by itself: the body of a webhook names an event that was put here."""

    events: dict[bytes, ProviderEvent] = field(default_factory=dict)

    async def read_webhook(self, headers: Any, body: bytes) -> Sequence[ProviderEvent]:
        return [self.events[body]]


@dataclass
class Refund:
    """As the model has it."""

    id: UUID
    amount: Decimal
    status: str = "reserved"
    must_succeed: bool = False
    entry_id: UUID = field(default_factory=new_id)
    entry: str = ""
    is_settled: bool = False
    asked: bool = False
    is_paid_out: bool = False
    retries: int = 0
    postponements: int = 0
    there: str = ""
    """The provider's name for it, where that has told of it while it mattered."""
    over: set[str] = field(default_factory=set)
    """Its names for attempts that failed before it was tried again."""

    @property
    def name(self) -> str:
        """By which the provider calls the attempt in hand."""
        refusals = self.retries + self.postponements
        return f"re_{self.id}:{refusals}" if refusals else f"re_{self.id}"

    def entry_order(self, payment: "Payment") -> commands_pb2.PostRefundEntry:
        return commands_pb2.PostRefundEntry(
            entry_id=str(self.entry_id),
            refund_id=str(self.id),
            booking_id=str(payment.sale.booking_id),
            clinic_id=str(payment.sale.clinic_id),
        )

    def entry_cancelled(self, payment: "Payment") -> commands_pb2.CancelRefundEntry:
        return commands_pb2.CancelRefundEntry(entry_id=str(self.entry_id), booking_id=str(payment.sale.booking_id))

    def ask(self, provider: PlayedProvider) -> None:
        """The worker asks about it."""
        known, first = provider.refunds.get(self.id), not self.asked
        self.asked = True
        if provider.deaf:
            self.hear_nothing()
        elif known is not None and not first and not self.is_of_earlier(known, is_current=True):
            self.hear(known, is_current=True)
        elif self.status in SUBMITTED:
            self._order(provider, known)

    def _order(self, provider: PlayedProvider, known: RefundOutcome | None) -> None:
        if provider.refuses_refunds:
            self.status = "manual" if self.must_succeed else "refused"
        elif provider.puts_refunds_off:
            self.status, self.postponements = "waiting", self.postponements + 1
        elif provider.mute:
            self.hear_nothing()
        elif known is None or (isinstance(known, RefundFailed) and known.external_reference != self.name):
            self.hear(RefundAccepted(self.name), is_current=True)
        else:
            self.hear(known, is_current=True)

    def try_again(self) -> None:
        """A person has it sent once more."""
        self.status, self.must_succeed, self.retries = "submitted", True, self.retries + 1
        self.over |= {self.there} - {""}

    def is_of_earlier(self, told: RefundOutcome, *, is_current: bool) -> bool:
        """Whether this is about an attempt that was over before the one in hand."""
        name, has_failed = getattr(told, "external_reference", None), isinstance(told, RefundFailed)
        if self.status in SUBMITTED:
            return name in self.over and (has_failed or not is_current)
        return name != self.there and (name in self.over or (has_failed and self.retries > 0))

    def hear_nothing(self) -> None:
        """Nobody knows what the provider did."""
        self.status = "unknown" if self.status in SUBMITTED else self.status

    def hear(self, told: RefundOutcome, *, is_current: bool = False) -> None:
        """What the provider says changes what a person has paid no more."""
        before = "" if self.is_paid_out or self.is_of_earlier(told, is_current=is_current) else self.status
        match told:
            case RefundAccepted(external) if before in SUBMITTED:
                self.status, self.there = "pending", external
            case RefundSucceeded(external) if before in (*SUBMITTED, "pending"):
                self.status, self.there = "succeeded", external
            case RefundFailed(external) if before in (*SUBMITTED, "pending"):
                self.status, self.there = "manual", external
            case RefundFailed(external) if before == "succeeded":
                self.status, self.there = "reversed", external


@dataclass
class Payment:
    """As the model has it."""

    sale: Sale
    status: str = "pending"
    asked: bool = False
    has_fee: bool = False
    is_settled: bool = False
    refunds: dict[UUID, Refund] = field(default_factory=dict)

    @property
    def captured(self) -> Decimal:
        return Decimal(0) if self.status in (*OPEN, "failed") else self.sale.price.amount

    def sum_of(self, *statuses: str) -> Decimal:
        return sum((each.amount for each in self.refunds.values() if each.status in statuses), Decimal(0))

    @property
    def free(self) -> Decimal:
        return self.captured - self.sum_of(*SET_ASIDE, "succeeded")

    def ask(self, provider: PlayedProvider) -> None:
        """The worker asks about it."""
        self.status = "processing"
        known, first = provider.payments.get(self.sale.payment_id), not self.asked
        self.asked = True
        if provider.deaf or (first and provider.mute):
            return
        if isinstance(known, Declined):
            self.status = "failed"
        elif isinstance(known, Captured) or (known is None and not provider.mute):
            self.capture()

    def capture(self) -> None:
        is_late = self.status == "failed"
        self.status = "success"
        if is_late:
            self.refunds[UUID(int=0)] = Refund(UUID(int=0), self.sale.price.amount, "submitted", must_succeed=True)

    def name_the_whole_refund(self, ids: set[UUID]) -> None:
        """The service has given the refund of a late payment its id; from now on the model knows it."""
        unnamed = self.refunds.pop(UUID(int=0), None)
        if unnamed is not None:
            [unnamed.id] = ids - self.refunds.keys()
            self.refunds[unnamed.id] = unnamed
