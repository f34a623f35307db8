"""When the clinic said yes to a reservation: whose card is declined after that need not ask it again.

Versions that do not know the column leave it empty, and ask again, as they did.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.execute("ALTER TABLE reservations ADD COLUMN approved_at timestamptz")
