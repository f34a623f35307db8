"""Who was erased, so that what is written of them afterwards is made anonymous too."""

from alembic import op

from petpro_common.personal.erasure import ERASURE_V1

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(ERASURE_V1)
