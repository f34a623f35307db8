"""What goes back at the least, whatever a clinic's move or a refund that was refused late has made of it since.

Versions that do not know the column leave it as it is: what they move keeps what it had.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.execute("""
        ALTER TABLE bookings ADD COLUMN refund_floor smallint NOT NULL DEFAULT 0
            CONSTRAINT valid_refund_floor CHECK (refund_floor BETWEEN 0 AND 100)
    """)
