"""What operators did to sagas: who, when and why."""

from alembic import op

from petpro_common.saga.schema import SAGA_V2

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(SAGA_V2)
