"""What administrators did about accounts, and why."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE user_operations (
            id uuid PRIMARY KEY DEFAULT uuidv7(),
            at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
            operator text NOT NULL,
            verb varchar(30) NOT NULL
                CONSTRAINT valid_verb CHECK (verb IN ('suspend', 'reinstate', 'end_sessions', 'unlock_sign_in')),
            user_id uuid NOT NULL,
            reason text NOT NULL
        );
        CREATE INDEX idx_user_operations_user ON user_operations (user_id);
        CREATE FUNCTION keep_what_was_done() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'what was done about accounts is only added to' USING ERRCODE = 'restrict_violation';
        END
        $$;
        CREATE TRIGGER keep_operation BEFORE UPDATE OR DELETE OR TRUNCATE ON user_operations
            FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done()
    """)
