"""Administrators erase people."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE user_operations
            DROP CONSTRAINT valid_verb,
            ADD CONSTRAINT valid_verb
                CHECK (verb IN ('suspend', 'set_role', 'reinstate', 'end_sessions', 'unlock_sign_in', 'erase'))
    """)
