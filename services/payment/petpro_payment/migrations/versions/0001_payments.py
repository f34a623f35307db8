"""Payments, refunds, the ledger, what providers told us, and who acts for which clinic."""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_V1
from petpro_common.messaging.schema import MESSAGING_V1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PAYMENTS = """
CREATE TABLE payments (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    booking_id uuid NOT NULL,
    user_id uuid NOT NULL,
    clinic_id uuid NOT NULL,
    provider varchar(30) NOT NULL,
    external_reference varchar(100),
    amount numeric(12,2) NOT NULL,
    currency varchar(3) NOT NULL DEFAULT 'IDR',
    payment_method varchar(50) NOT NULL,
    payment_token text,
    status varchar(20) NOT NULL DEFAULT 'pending',
    failure_reason text,
    payment_details jsonb,
    deadline timestamptz,
    paid_at timestamptz,
    captured numeric(12,2) NOT NULL DEFAULT 0,
    refund_reserved numeric(12,2) NOT NULL DEFAULT 0,
    refund_done numeric(12,2) NOT NULL DEFAULT 0,
    quarantined_at timestamptz,
    command_id text,
    cancel_requested_at timestamptz,
    cancel_command_id text,
    attempts integer NOT NULL DEFAULT 0,
    asked_at timestamptz,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT payments_status_check CHECK (status IN
        ('pending', 'processing', 'success', 'failed', 'refunded', 'partially_refunded', 'cancelled')),
    CONSTRAINT valid_amount CHECK (amount >= 0),
    CONSTRAINT valid_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT captured_all_or_nothing CHECK (
        captured = CASE WHEN status IN ('success', 'refunded', 'partially_refunded') THEN amount ELSE 0 END),
    CONSTRAINT captured_has_an_instant CHECK (paid_at IS NOT NULL OR captured = 0),
    CONSTRAINT refunds_within_capture CHECK (
        refund_reserved >= 0 AND refund_done >= 0 AND refund_reserved + refund_done <= captured),
    CONSTRAINT failure_has_a_reason CHECK (failure_reason IS NOT NULL OR status <> 'failed')
);
CREATE INDEX idx_payments_booking ON payments (booking_id);
CREATE INDEX idx_payments_status ON payments (status) WHERE status IN ('pending', 'processing');
CREATE INDEX idx_payments_external_ref ON payments (external_reference) WHERE external_reference IS NOT NULL;
CREATE INDEX idx_payments_quarantined ON payments (quarantined_at) WHERE quarantined_at IS NOT NULL;
CREATE INDEX idx_payments_due ON payments (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE refunds (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments (id) ON DELETE RESTRICT,
    booking_id uuid NOT NULL,
    origin varchar(20) NOT NULL,
    amount numeric(12,2) NOT NULL CHECK (amount > 0),
    currency varchar(3) NOT NULL,
    status varchar(20) NOT NULL,
    reason text NOT NULL,
    must_succeed boolean NOT NULL DEFAULT false,
    external_reference varchar(100),
    failure_reason text,
    command_id text,
    settle_command_id text,
    settle_entry_id uuid,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT refunds_origin_check CHECK (origin IN ('cancellation', 'called_off', 'late_payment')),
    CONSTRAINT refunds_status_check CHECK (status IN
        ('reserved', 'submitted', 'pending', 'succeeded', 'refused', 'released', 'manual'))
);
CREATE INDEX idx_refunds_payment ON refunds (payment_id);
CREATE INDEX idx_refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX idx_refunds_manual ON refunds (updated_at) WHERE status = 'manual';
CREATE UNIQUE INDEX refunds_whole_once ON refunds (payment_id) WHERE origin <> 'cancellation';

CREATE TABLE called_off_orders (
    id uuid PRIMARY KEY,
    called_off_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""

LEDGER = """
CREATE TABLE financial_entries (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    booking_id uuid NOT NULL,
    clinic_id uuid NOT NULL,
    payment_id uuid REFERENCES payments (id) ON DELETE RESTRICT,
    refund_id uuid REFERENCES refunds (id) ON DELETE RESTRICT,
    type varchar(20) NOT NULL,
    total_amount numeric(12,2) NOT NULL,
    platform_fee numeric(12,2) NOT NULL,
    clinic_amount numeric(12,2) NOT NULL,
    tax_amount numeric(12,2) NOT NULL DEFAULT 0,
    currency varchar(3) NOT NULL DEFAULT 'IDR',
    status varchar(20) NOT NULL DEFAULT 'pending',
    settlement_date timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT financial_entries_type_check CHECK (type IN ('booking_fee', 'refund', 'adjustment')),
    CONSTRAINT financial_entries_status_check CHECK (status IN ('pending', 'settled', 'cancelled')),
    CONSTRAINT amount_validation CHECK (platform_fee + clinic_amount + tax_amount = total_amount),
    CONSTRAINT sign_follows_type CHECK (CASE type
        WHEN 'booking_fee' THEN total_amount >= 0 WHEN 'refund' THEN total_amount < 0 ELSE true END),
    CONSTRAINT refund_names_its_refund CHECK ((type = 'refund') = (refund_id IS NOT NULL)),
    CONSTRAINT settled_has_a_date CHECK ((status = 'settled') = (settlement_date IS NOT NULL)),
    CONSTRAINT valid_currency CHECK (currency ~ '^[A-Z]{3}$')
);
CREATE INDEX idx_financial_booking ON financial_entries (booking_id);
CREATE INDEX idx_financial_clinic ON financial_entries (clinic_id, created_at DESC, id DESC);
CREATE INDEX idx_financial_status ON financial_entries (status) WHERE status = 'pending';
CREATE INDEX idx_financial_settlement ON financial_entries (settlement_date) WHERE settlement_date IS NOT NULL;
CREATE UNIQUE INDEX financial_one_fee ON financial_entries (booking_id)
    WHERE type = 'booking_fee' AND status <> 'cancelled';
CREATE UNIQUE INDEX financial_one_entry_per_refund ON financial_entries (refund_id) WHERE status <> 'cancelled';

CREATE FUNCTION keep_financial_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a ledger entry is never deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.id, OLD.booking_id, OLD.clinic_id, OLD.payment_id, OLD.refund_id, OLD.type, OLD.total_amount,
        OLD.platform_fee, OLD.clinic_amount, OLD.tax_amount, OLD.currency, OLD.created_at)
       IS DISTINCT FROM
       (NEW.id, NEW.booking_id, NEW.clinic_id, NEW.payment_id, NEW.refund_id, NEW.type, NEW.total_amount,
        NEW.platform_fee, NEW.clinic_amount, NEW.tax_amount, NEW.currency, NEW.created_at) THEN
        RAISE EXCEPTION 'a ledger entry keeps its amounts' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status <> NEW.status AND OLD.status <> 'pending' THEN
        RAISE EXCEPTION 'a % ledger entry stays so', OLD.status USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_financial_entry BEFORE UPDATE OR DELETE ON financial_entries
    FOR EACH ROW EXECUTE FUNCTION keep_financial_entry();
"""

TOLD = """
CREATE TABLE provider_events (
    provider varchar(30) NOT NULL,
    event_id varchar(200) NOT NULL,
    type varchar(100) NOT NULL,
    reference text NOT NULL,
    disposition varchar(20) NOT NULL,
    payload jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT provider_events_pkey PRIMARY KEY (provider, event_id),
    CONSTRAINT provider_events_disposition_check CHECK (disposition IN
        ('applied', 'ignored', 'quarantined', 'unknown'))
);
CREATE INDEX idx_provider_events_reference ON provider_events (reference);

CREATE FUNCTION keep_provider_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a provider told us is kept as it was' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER keep_provider_event BEFORE UPDATE OR DELETE ON provider_events
    FOR EACH ROW EXECUTE FUNCTION keep_provider_event();

CREATE TABLE clinic_members (
    source_id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL,
    user_id uuid,
    version bigint NOT NULL
);
CREATE INDEX idx_clinic_members_clinic ON clinic_members (clinic_id, user_id);
"""


def upgrade() -> None:
    for statements in (MESSAGING_V1, IDEMPOTENCY_V1, PAYMENTS, LEDGER, TOLD):
        op.execute(statements)
