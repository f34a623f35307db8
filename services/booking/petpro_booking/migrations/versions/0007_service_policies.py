"""The copy of a service's own cancellation policy; none where the clinic's holds."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE catalog_services ADD COLUMN cancellation_policy jsonb")
