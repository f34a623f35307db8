"""What acknowledged a message; and tables that are purged by an index, and do not swell."""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_STORAGE_V1
from petpro_common.messaging.schema import MESSAGING_V2, STORAGE_V1

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for part in (MESSAGING_V2, STORAGE_V1, IDEMPOTENCY_STORAGE_V1):
        op.execute(part)
