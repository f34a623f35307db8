"""The double-entry journal, with what was recorded before it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JOURNAL = """
CREATE TABLE journal_transactions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind varchar(20) NOT NULL,
    source_id uuid NOT NULL,
    clinic_id uuid,
    provider varchar(30),
    currency varchar(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    posted_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    posted_in bigint NOT NULL DEFAULT CAST(CAST(pg_current_xact_id() AS text) AS bigint),
    CONSTRAINT journal_transactions_once UNIQUE (source_id, kind),
    CONSTRAINT journal_transactions_kind_check CHECK (kind IN
        ('capture', 'entry', 'entry_cancelled', 'refund', 'refund_returned'))
);
CREATE INDEX idx_journal_posted ON journal_transactions (posted_at, id);

CREATE TABLE journal_lines (
    transaction_id uuid NOT NULL,
    account varchar(30) NOT NULL,
    amount numeric(16,2) NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (transaction_id, account),
    CONSTRAINT journal_lines_account_check CHECK (account IN
        ('provider_clearing', 'customer_liability', 'clinic_payable', 'platform_revenue', 'tax_payable'))
);
"""

BEFORE = """
INSERT INTO journal_transactions (kind, source_id, clinic_id, provider, currency, posted_at)
    SELECT 'capture', id, clinic_id, provider, currency, paid_at FROM payments WHERE captured > 0
    UNION ALL
    SELECT 'entry', id, clinic_id, NULL, currency, created_at FROM financial_entries WHERE total_amount <> 0
    UNION ALL
    SELECT 'entry_cancelled', id, clinic_id, NULL, currency, updated_at FROM financial_entries
    WHERE total_amount <> 0 AND status = 'cancelled'
    UNION ALL
    SELECT 'refund', r.id, p.clinic_id, p.provider, r.currency, r.updated_at
    FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.status = 'succeeded';
INSERT INTO journal_lines
    SELECT t.id, line.account, line.amount FROM journal_transactions t
    JOIN payments p ON t.kind = 'capture' AND p.id = t.source_id
    CROSS JOIN LATERAL (VALUES ('provider_clearing', p.captured), ('customer_liability', -p.captured))
        AS line (account, amount)
    UNION ALL
    SELECT t.id, line.account, line.amount * CASE t.kind WHEN 'entry' THEN 1 ELSE -1 END FROM journal_transactions t
    JOIN financial_entries e ON t.kind IN ('entry', 'entry_cancelled') AND e.id = t.source_id
    CROSS JOIN LATERAL (VALUES ('customer_liability', e.total_amount), ('platform_revenue', -e.platform_fee),
        ('clinic_payable', -e.clinic_amount), ('tax_payable', -e.tax_amount)) AS line (account, amount)
    WHERE line.amount <> 0
    UNION ALL
    SELECT t.id, line.account, line.amount FROM journal_transactions t
    JOIN refunds r ON t.kind = 'refund' AND r.id = t.source_id
    CROSS JOIN LATERAL (VALUES ('customer_liability', r.amount), ('provider_clearing', -r.amount))
        AS line (account, amount);
"""

# A transaction is checked when it is committed, with all its lines; lines join it in no other transaction.
GUARDS = """
CREATE FUNCTION balance_journal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE total numeric; lines bigint;
BEGIN
    SELECT sum(amount), count(*) INTO total, lines FROM journal_lines WHERE transaction_id = NEW.id;
    IF lines < 2 OR total <> 0 THEN
        RAISE EXCEPTION 'a journal transaction balances: % lines make %', lines, total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER balance_journal AFTER INSERT ON journal_transactions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION balance_journal();

CREATE FUNCTION join_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added LEFT JOIN journal_transactions t ON t.id = added.transaction_id
               WHERE t.posted_in IS DISTINCT FROM CAST(CAST(pg_current_xact_id() AS text) AS bigint)) THEN
        RAISE EXCEPTION 'a line belongs to a journal transaction of its own commit'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER join_journal AFTER INSERT ON journal_lines REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION join_journal();

CREATE FUNCTION keep_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is only added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER keep_journal BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION keep_journal();
CREATE TRIGGER keep_journal BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_lines
    FOR EACH STATEMENT EXECUTE FUNCTION keep_journal();
CREATE FUNCTION keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a refund is never deleted' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER keep_refund BEFORE DELETE OR TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION keep_refund();
"""


def upgrade() -> None:
    for statements in (JOURNAL, BEFORE, GUARDS):
        op.execute(statements)
