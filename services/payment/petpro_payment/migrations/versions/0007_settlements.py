"""Settlements of clinics, and what persons do about money that no provider moves."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SETTLEMENTS = """
CREATE TABLE settlements (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL,
    currency varchar(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    begins timestamptz,
    until timestamptz NOT NULL,
    entry_count integer NOT NULL CHECK (entry_count > 0),
    total_amount numeric(16,2) NOT NULL,
    platform_fee numeric(16,2) NOT NULL,
    tax_amount numeric(16,2) NOT NULL,
    clinic_amount numeric(16,2) NOT NULL CHECK (clinic_amount >= 0),
    settled_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT settlements_once UNIQUE (clinic_id, currency, until),
    CONSTRAINT settlement_validation CHECK (platform_fee + clinic_amount + tax_amount = total_amount)
);
CREATE INDEX idx_settlements_settled ON settlements (settled_at);

ALTER TABLE financial_entries ADD COLUMN settlement_id uuid REFERENCES settlements (id) ON DELETE RESTRICT,
    ADD CONSTRAINT settlement_settles CHECK (settlement_id IS NULL OR status = 'settled');
CREATE INDEX idx_financial_unsettled ON financial_entries (clinic_id, currency, created_at)
    WHERE settlement_id IS NULL AND status <> 'cancelled';
CREATE INDEX idx_financial_settled ON financial_entries (settlement_id) WHERE settlement_id IS NOT NULL;

CREATE FUNCTION keep_settled_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an entry is settled once' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER keep_settled_entry BEFORE UPDATE ON financial_entries FOR EACH ROW
    WHEN (OLD.settlement_id IS NOT NULL AND (NEW.settlement_id, NEW.settlement_date)
          IS DISTINCT FROM (OLD.settlement_id, OLD.settlement_date))
    EXECUTE FUNCTION keep_settled_entry();
"""

OPERATIONS = """
ALTER TABLE refunds ADD COLUMN paid_out_reference varchar(100);
ALTER TABLE payments ADD COLUMN quarantined_amount numeric(12,2), ADD COLUMN quarantined_currency varchar(3),
    ADD COLUMN quarantine_closed_at timestamptz;
DROP INDEX idx_payments_quarantined;
CREATE INDEX idx_payments_quarantined ON payments (quarantined_at)
    WHERE quarantined_at IS NOT NULL AND quarantine_closed_at IS NULL;

CREATE INDEX idx_payments_paid ON payments (paid_at) WHERE captured > 0;

CREATE TABLE money_operations (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    operator text NOT NULL,
    verb varchar(30) NOT NULL,
    subject_id uuid NOT NULL,
    reason text NOT NULL,
    reference text NOT NULL,
    CONSTRAINT money_operations_verb_check CHECK (verb IN ('settle', 'pay_out_refund', 'close_quarantine'))
);
CREATE INDEX idx_money_operations_subject ON money_operations (subject_id);

ALTER TABLE journal_transactions DROP CONSTRAINT journal_transactions_kind_check,
    ADD CONSTRAINT journal_transactions_kind_check CHECK (kind IN ('capture', 'entry', 'entry_cancelled', 'refund',
        'refund_returned', 'refund_paid_out', 'quarantine', 'quarantine_closed', 'settlement'));
ALTER TABLE journal_lines DROP CONSTRAINT journal_lines_account_check,
    ADD CONSTRAINT journal_lines_account_check CHECK (account IN ('provider_clearing', 'customer_liability',
        'clinic_payable', 'platform_revenue', 'tax_payable', 'payout_clearing'));

CREATE FUNCTION keep_what_was_done() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was done about money is only added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER keep_settlement BEFORE UPDATE OR DELETE OR TRUNCATE ON settlements
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done();
CREATE TRIGGER keep_operation BEFORE UPDATE OR DELETE OR TRUNCATE ON money_operations
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done();
"""


def upgrade() -> None:
    for statements in (SETTLEMENTS, OPERATIONS):
        op.execute(statements)
