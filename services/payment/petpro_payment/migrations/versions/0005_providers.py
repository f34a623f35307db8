"""Outcomes that nobody knows yet, payments that the clinic takes, and how a provider told us something."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATUSES = """
ALTER TABLE payments DROP CONSTRAINT payments_status_check;
ALTER TABLE payments ADD CONSTRAINT payments_status_check CHECK (status IN
    ('pending', 'processing', 'unknown', 'success', 'failed', 'refunded', 'partially_refunded', 'cancelled',
     'at_clinic')) NOT VALID;
ALTER TABLE payments VALIDATE CONSTRAINT payments_status_check;
DROP INDEX idx_payments_status;
CREATE INDEX idx_payments_status ON payments (status) WHERE status IN ('pending', 'processing', 'unknown');
"""

SOURCES = """
ALTER TABLE provider_events ADD COLUMN source varchar(10) NOT NULL DEFAULT 'webhook'
    CONSTRAINT provider_events_source_check CHECK (source IN ('webhook', 'answer'));
"""


def upgrade() -> None:
    for part in (STATUSES, SOURCES):
        op.execute(part)
