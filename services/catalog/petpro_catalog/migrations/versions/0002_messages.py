"""What the broker is known to have, who had parked messages handled again, and tables that do not swell."""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_STORAGE_V1
from petpro_common.messaging.schema import MESSAGING_V2, PARKED_V2, STORAGE_V1

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for part in (MESSAGING_V2, PARKED_V2, STORAGE_V1, IDEMPOTENCY_STORAGE_V1):
        op.execute(part)
