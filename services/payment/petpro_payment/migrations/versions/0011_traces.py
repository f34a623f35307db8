"""The trace in which a payment or refund was ordered: the worker that asks the provider goes on in it."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN trace text")
    op.execute("ALTER TABLE refunds ADD COLUMN trace text")
