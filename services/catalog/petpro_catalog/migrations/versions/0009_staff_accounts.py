"""Since when the account of a staff entry stands there: only what somebody booked afterwards they booked as staff.

Of entries from before nobody knows more than when they were made.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE staff ADD COLUMN user_since timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP")
    op.execute("UPDATE staff SET user_since = created_at")
