"""A clinic finds the reservations that wait for its approval. Holds that need none do not touch the index."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.execute("""
        CREATE INDEX idx_reservations_awaiting ON reservations (clinic_id, created_at, id)
        WHERE status = 'pending' AND checkout_status = 'awaiting_approval'
    """)
