"""In which transaction a person was told, so that streams of notifications miss none whatever the order of commits.

Nothing is known of what was told before, nor is it asked for. A release that knows nothing of the columns fills them.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE notifications ADD COLUMN told_in bigint, ADD COLUMN told_after bigint;
        ALTER TABLE notifications
            ALTER COLUMN told_in SET DEFAULT CAST(CAST(pg_current_xact_id() AS text) AS bigint),
            ALTER COLUMN told_after SET DEFAULT
                CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint);
        CREATE INDEX idx_notifications_told_in ON notifications (told_in) WHERE told_in IS NOT NULL
    """)
