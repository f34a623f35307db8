"""Who asked for a new password, and how often mails were asked for to an address."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE password_resets (
            user_id uuid PRIMARY KEY,
            id uuid NOT NULL DEFAULT uuidv7(),
            token_hashes bytea[] NOT NULL DEFAULT '{}',
            expires_at timestamptz NOT NULL,

            CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        );
        CREATE UNIQUE INDEX idx_password_resets_id ON password_resets (id);
        CREATE INDEX idx_password_resets_expiry ON password_resets (expires_at);

        CREATE TABLE password_reset_requests (
            address_hash bytea PRIMARY KEY,
            requests integer NOT NULL,
            window_started_at timestamptz NOT NULL,

            CONSTRAINT address_hash_sha256 CHECK (octet_length(address_hash) = 32),
            CONSTRAINT requests_counted CHECK (requests > 0)
        );
        CREATE INDEX idx_password_reset_requests_window ON password_reset_requests (window_started_at)
    """)
