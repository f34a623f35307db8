"""What a refund's status leaves open: nobody knows what came of it, or its money had gone and came back.

The version before this one knows neither, reads `status` as ever, and has `state` kept up to date by the trigger.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATES = """
ALTER TABLE refunds ADD COLUMN unknown_since timestamptz, ADD COLUMN reversed_at timestamptz,
    ADD COLUMN state varchar(20) GENERATED ALWAYS AS (CASE
        WHEN status = 'submitted' AND unknown_since IS NOT NULL THEN 'unknown'
        WHEN status = 'manual' AND reversed_at IS NOT NULL THEN 'reversed'
        ELSE status END) VIRTUAL;
UPDATE refunds SET reversed_at = updated_at
WHERE status = 'manual' AND EXISTS (
    SELECT FROM journal_transactions WHERE source_id = refunds.id AND kind = 'refund_returned');
CREATE INDEX idx_refunds_unknown ON refunds (unknown_since) WHERE unknown_since IS NOT NULL;
"""

STEPS = """
CREATE FUNCTION step_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('reserved', 'submitted'), ('reserved', 'released'),
        ('submitted', 'pending'), ('submitted', 'succeeded'), ('submitted', 'refused'), ('submitted', 'manual'),
        ('pending', 'succeeded'), ('pending', 'manual'),
        ('succeeded', 'manual'), ('manual', 'succeeded')) THEN
        RAISE EXCEPTION 'a % refund does not become %', OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.unknown_since := NULL;
    NEW.reversed_at := CASE WHEN OLD.status = 'succeeded' THEN clock_timestamp() END;
    RETURN NEW;
END
$$;
CREATE TRIGGER step_refund BEFORE UPDATE ON refunds FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION step_refund();
"""


def upgrade() -> None:
    for statements in (STATES, STEPS):
        op.execute(statements)
