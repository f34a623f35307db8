"""What waits in the outbox is found by its aggregate."""

from alembic import op

from petpro_common.messaging.schema import HAND_OFF_V1

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(HAND_OFF_V1)
