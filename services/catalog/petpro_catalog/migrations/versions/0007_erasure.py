"""Who was erased, so that what is written of them afterwards is made anonymous too; completed bookings by person."""

from alembic import op

from petpro_common.personal.erasure import ERASURE_V1

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(ERASURE_V1)
    op.execute("CREATE INDEX idx_completed_bookings_user ON completed_bookings (user_id)")
