"""Administrators erase people; and those who are or were administrators are found by indexes, as they were answered
with what is about others.

Where others have the tables for long it gives up, to be tried again: calls must not queue behind it.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


# The accounts are locked first, as by whoever acts on one and notes it, so that the two do not wait in a circle.
def upgrade() -> None:
    op.execute("""
        SET LOCAL lock_timeout = '3s';
        LOCK TABLE users IN EXCLUSIVE MODE;
        CREATE INDEX idx_users_admin ON users (id) WHERE role = 'admin';
        ALTER TABLE user_operations
            DROP CONSTRAINT valid_verb,
            ADD CONSTRAINT valid_verb
                CHECK (verb IN ('suspend', 'set_role', 'reinstate', 'end_sessions', 'unlock_sign_in', 'erase'));
        CREATE INDEX idx_user_operations_set_role ON user_operations (user_id) WHERE verb = 'set_role'
    """)
