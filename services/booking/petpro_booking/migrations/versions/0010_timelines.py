"""Lines of timelines are written without a look at their saga.

It touches no row. Where others have the tables for long it gives up, to be tried again: calls must not queue behind it.
Every version of the service that deletes a saga has its timeline deleted with it.
"""

from alembic import op

from petpro_common.saga.schema import SAGA_TIMELINE_V2

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.execute(SAGA_TIMELINE_V2)
