"""Indexes by which the auditor finds what changed since it last looked, and refunds that are on their way."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHANGES = """
CREATE INDEX idx_payments_updated ON payments (updated_at);
CREATE INDEX idx_refunds_updated ON refunds (updated_at);
CREATE INDEX idx_refunds_open ON refunds (id) WHERE status IN ('submitted', 'pending');
CREATE INDEX idx_financial_updated ON financial_entries (updated_at);
CREATE INDEX idx_outbox_published_at ON outbox (published_at);
"""


def upgrade() -> None:
    op.execute(CHANGES)
