"""When a customer was last told when the booking begins.

What is booked already counts as told now: nobody hears twice because of this migration, and whatever begins more than
the reminder's time after it still has its reminder to come. Versions that do not know the column write the default.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bookings ADD COLUMN start_told_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP")
    op.execute("CREATE INDEX idx_bookings_starts ON bookings (starts_at, start_told_at) WHERE status = 'confirmed'")
