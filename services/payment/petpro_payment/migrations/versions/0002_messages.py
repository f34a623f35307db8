"""What the broker is known to have, and who had parked messages handled again."""

from alembic import op

from petpro_common.messaging.schema import MESSAGING_V2, PARKED_V2

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(MESSAGING_V2)
    op.execute(PARKED_V2)
