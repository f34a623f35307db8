"""What is due by one channel is found without reading what is due by others.

The release before, until it is gone, finds what is due by the index of all channels.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHANNELS_V1 = """
CREATE INDEX idx_deliveries_due_of_channel ON deliveries (channel, due_at) WHERE status = 'pending';
"""


def upgrade() -> None:
    op.execute(CHANNELS_V1)
