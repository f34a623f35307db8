"""A refund waits while its provider has made none and may later; and one that failed there may be tried again.

The version before this one finds what waits as submitted, and asks about it as it always did. Where others have the
table for long it gives up, to be tried again: run together with the migration before it, it has payments locked too,
and would wait with them in a circle.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

WAITING = """
SET LOCAL lock_timeout = '500ms';
ALTER TABLE refunds ADD COLUMN waiting_since timestamptz, ADD COLUMN postponements integer NOT NULL DEFAULT 0;
CREATE INDEX idx_refunds_waiting ON refunds (waiting_since) WHERE waiting_since IS NOT NULL;
"""

STEPS = """
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
        AND (OLD.reversed_at IS NOT NULL OR NEW.retries <> OLD.retries + 1) THEN
        RAISE EXCEPTION 'only a refund that was never paid is tried again' USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.unknown_since := NULL;
    NEW.waiting_since := NULL;
    NEW.reversed_at := CASE WHEN OLD.status = 'succeeded' THEN clock_timestamp() END;
    RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    for statements in (WAITING, STEPS):
        op.execute(statements)
