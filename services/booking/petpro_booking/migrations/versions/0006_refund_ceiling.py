"""What a move leaves of a refund."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE bookings ADD COLUMN refund_ceiling smallint NOT NULL DEFAULT 100
            CONSTRAINT valid_refund_ceiling CHECK (refund_ceiling BETWEEN 0 AND 100)
    """)
