"""By what the answer to a refresh is made again, when it was lost on its way."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        SET LOCAL lock_timeout = '3s';
        ALTER TABLE refresh_tokens ADD COLUMN successor_salt bytea
    """)
