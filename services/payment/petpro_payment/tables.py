"""The tables that payment owns, as SQLAlchemy Core knows them. The migrations make them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

_MONEY = Numeric(12, 2)
_SUM = Numeric(16, 2)
_INSTANT = DateTime(timezone=True)

payments = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("booking_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("provider", String(30), nullable=False),
    Column("external_reference", String(100)),
    Column("amount", _MONEY, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("payment_method", String(50), nullable=False),
    Column("payment_token", Text),  # kept only until the provider has answered
    Column("status", String(20), nullable=False),
    Column("failure_reason", Text),
    Column("payment_details", JSONB(none_as_null=True)),
    Column("deadline", _INSTANT),
    Column("paid_at", _INSTANT),
    Column("captured", _MONEY, nullable=False),
    Column("refund_reserved", _MONEY, nullable=False),
    Column("refund_done", _MONEY, nullable=False),
    Column("quarantined_at", _INSTANT),
    Column("quarantined_amount", _MONEY),  # what the provider took instead
    Column("quarantined_currency", String(3)),
    Column("quarantine_closed_at", _INSTANT),
    Column("command_id", Text),  # the order that waits for the outcome
    Column("cancel_requested_at", _INSTANT),
    Column("cancel_command_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("asked_at", _INSTANT),  # when the provider may last have been asked to take the money
    Column("due_at", _INSTANT),  # when a worker looks at it next; while one does, when its lease ends
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Column("trace", Text),  # the `traceparent` of the order
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("payment_id", Uuid, nullable=False),
    Column("booking_id", Uuid, nullable=False),
    Column("origin", String(20), nullable=False),
    Column("amount", _MONEY, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("status", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("must_succeed", Boolean, nullable=False),
    Column("external_reference", String(100)),
    Column("failure_reason", Text),
    Column("command_id", Text),
    Column("settle_command_id", Text),
    Column("settle_entry_id", Uuid),
    Column("paid_out_reference", String(100)),  # of one that a person paid in another way
    Column("attempts", Integer, nullable=False),
    Column("due_at", _INSTANT),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Column("retries", Integer, nullable=False),  # how often a person had it tried again at the provider
    Column("unknown_since", _INSTANT),  # kept by the trigger step_refund while `status` is submitted
    Column("reversed_at", _INSTANT),  # the same while it is manual
    Column("waiting_since", _INSTANT),  # the provider has made none and may later; `unknown_since` goes before it
    Column("postponements", Integer, nullable=False),  # how often the provider has put it off
    Column("failed_references", ARRAY(Text), nullable=False),  # names of attempts that failed before it was tried again
    Column("state", String(20), Computed("status", persisted=False)),  # `status`, or what these two make of it
    Column("trace", Text),  # the `traceparent` of the order
)

called_off_orders = Table(
    "called_off_orders",
    metadata,
    Column("id", Uuid, primary_key=True),  # of a payment, refund or entry whose compensation came first
    Column("called_off_at", _INSTANT, nullable=False),
)

financial_entries = Table(
    "financial_entries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("booking_id", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("payment_id", Uuid),
    Column("refund_id", Uuid),
    Column("type", String(20), nullable=False),
    Column("total_amount", _MONEY, nullable=False),
    Column("platform_fee", _MONEY, nullable=False),
    Column("clinic_amount", _MONEY, nullable=False),
    Column("tax_amount", _MONEY, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("status", String(20), nullable=False),
    Column("settlement_date", _INSTANT),
    Column("settlement_id", Uuid),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
)

settlements = Table(
    "settlements",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("clinic_id", Uuid, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("begins", _INSTANT),  # where the clinic's settlement before this one ended
    Column("until", _INSTANT, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("total_amount", _SUM, nullable=False),
    Column("platform_fee", _SUM, nullable=False),
    Column("tax_amount", _SUM, nullable=False),
    Column("clinic_amount", _SUM, nullable=False),
    Column("settled_at", _INSTANT, nullable=False),
)

money_operations = Table(
    "money_operations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("operator", Text, nullable=False),
    Column("verb", String(30), nullable=False),
    Column("subject_id", Uuid, nullable=False),  # the settlement, refund or payment
    Column("reason", Text, nullable=False),
    Column("reference", Text, nullable=False),
)

money_orders = Table(
    "money_orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("ordered_by", Text, nullable=False),  # a command id: saga, step and direction
    Column("verb", String(30), nullable=False),
    Column("subject_id", Uuid, nullable=False),  # the entry, refund or payment
    Column("reason", Text, nullable=False),
)

journal_transactions = Table(
    "journal_transactions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("source_id", Uuid, nullable=False),  # the payment, entry, refund or settlement that it records
    Column("clinic_id", Uuid),
    Column("provider", String(30)),
    Column("currency", String(3), nullable=False),
    Column("posted_at", _INSTANT, nullable=False),
    Column("posted_in", BigInteger, nullable=False),  # the commit; no line joins it later
)

journal_lines = Table(
    "journal_lines",
    metadata,
    Column("transaction_id", Uuid, primary_key=True),
    Column("account", String(30), primary_key=True),
    Column("amount", _SUM, nullable=False),  # a debit above zero, a credit below
)

provider_events = Table(
    "provider_events",
    metadata,
    Column("provider", String(30), primary_key=True),
    Column("event_id", String(200), primary_key=True),
    Column("type", String(100), nullable=False),
    Column("reference", Text, nullable=False),
    Column("disposition", String(20), nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
    Column("source", String(10), nullable=False),  # a webhook, or an answer to our own question
)

clinic_members = Table(
    "clinic_members",
    metadata,
    Column("source_id", Uuid, primary_key=True),  # the clinic's id for its owner, else the staff member's
    Column("clinic_id", Uuid, nullable=False),
    Column("user_id", Uuid),
    Column("version", BigInteger, nullable=False),
)
