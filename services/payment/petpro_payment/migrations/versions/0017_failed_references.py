"""A refund knows by which names its provider had those attempts that failed before a person had it tried again.

The trigger keeps them, so what the version before this one tries again is kept too. Of what was tried again before and
is with the provider, the names are not known any more.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMN = """
SET LOCAL lock_timeout = '500ms';
ALTER TABLE refunds ADD COLUMN failed_references text[] NOT NULL DEFAULT '{}';
UPDATE refunds SET failed_references = ARRAY[external_reference]
WHERE retries > 0 AND status = 'submitted' AND external_reference IS NOT NULL;
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
    IF OLD.status = 'manual' AND NEW.status = 'submitted' THEN
        IF OLD.reversed_at IS NOT NULL OR NEW.retries <> OLD.retries + 1 THEN
            RAISE EXCEPTION 'only a refund that was never paid is tried again' USING ERRCODE = 'restrict_violation';
        END IF;
        IF OLD.external_reference <> ALL (OLD.failed_references) THEN
            NEW.failed_references := OLD.failed_references || OLD.external_reference::text;
        END IF;
    END IF;
    NEW.unknown_since := NULL;
    NEW.waiting_since := NULL;
    NEW.reversed_at := CASE WHEN OLD.status = 'succeeded' THEN clock_timestamp() END;
    RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    for statements in (COLUMN, STEPS):
        op.execute(statements)
