"""Parked messages can be given up, and it is kept who did so, and why.

The release before, until it is gone, cannot show a message that was given up and that it has parked once more.
"""

from alembic import op

from petpro_common.messaging.schema import PARKED_V3

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(PARKED_V3)
