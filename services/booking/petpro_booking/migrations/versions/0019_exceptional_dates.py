"""The copy of the dates on which a service's clinic is closed, or has other hours."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE catalog_services ADD COLUMN availability_exceptions jsonb NOT NULL DEFAULT '[]'")
