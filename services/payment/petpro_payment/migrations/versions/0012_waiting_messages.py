"""What waits of an aggregate is found by an index of its own, however much waits.

The release before, until it is gone, finds it by the index of all that waits.
"""

from alembic import op

from petpro_common.messaging.schema import HAND_OFF_V2

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(HAND_OFF_V2)
