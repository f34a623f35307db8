"""A refund that no provider had made may be tried again at the provider."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

RETRIES = """
ALTER TABLE refunds ADD COLUMN retries integer NOT NULL DEFAULT 0;
ALTER TABLE money_operations DROP CONSTRAINT money_operations_verb_check,
    ADD CONSTRAINT money_operations_verb_check CHECK (verb IN
        ('settle', 'pay_out_refund', 'close_quarantine', 'retry_refund'));

CREATE OR REPLACE FUNCTION step_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('reserved', 'submitted'), ('reserved', 'released'),
        ('submitted', 'pending'), ('submitted', 'succeeded'), ('submitted', 'refused'), ('submitted', 'manual'),
        ('pending', 'succeeded'), ('pending', 'manual'),
        ('succeeded', 'manual'), ('manual', 'succeeded'), ('manual', 'submitted')) THEN
        RAISE EXCEPTION 'a % refund does not become %', OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status = 'manual' AND NEW.status = 'submitted'
        AND (OLD.external_reference IS NOT NULL OR NEW.retries <> OLD.retries + 1) THEN
        RAISE EXCEPTION 'only a refund that no provider had is tried again' USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.unknown_since := NULL;
    NEW.reversed_at := CASE WHEN OLD.status = 'succeeded' THEN clock_timestamp() END;
    RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    op.execute(RETRIES)
