"""Administrators make and unmake administrators; which role somebody was given is kept."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE user_operations
            ADD COLUMN role varchar(20)
                CONSTRAINT role_known CHECK (role IN ('customer', 'clinic', 'admin')),
            ADD CONSTRAINT role_of_set_role CHECK ((verb = 'set_role') = (role IS NOT NULL)),
            DROP CONSTRAINT valid_verb,
            ADD CONSTRAINT valid_verb
                CHECK (verb IN ('suspend', 'set_role', 'reinstate', 'end_sessions', 'unlock_sign_in'))
    """)
