"""Whose address is verified: mails with a link, and how often they were asked for to an address.

Of an address that is changed, by whatever statement, nothing is known, and what was mailed to the one before is worth
nothing: the trigger sees to it, also while pods of the release before erase people.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE email_verifications (
            user_id uuid PRIMARY KEY,
            id uuid NOT NULL DEFAULT uuidv7(),
            token_hashes bytea[] NOT NULL DEFAULT '{}',
            expires_at timestamptz NOT NULL,

            CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        );
        CREATE UNIQUE INDEX idx_email_verifications_id ON email_verifications (id);
        CREATE INDEX idx_email_verifications_expiry ON email_verifications (expires_at);

        CREATE TABLE email_verification_requests (
            address_hash bytea PRIMARY KEY,
            requests integer NOT NULL,
            window_started_at timestamptz NOT NULL,

            CONSTRAINT address_hash_sha256 CHECK (octet_length(address_hash) = 32),
            CONSTRAINT requests_counted CHECK (requests > 0)
        );
        CREATE INDEX idx_email_verification_requests_window ON email_verification_requests (window_started_at);

        CREATE FUNCTION unverify_address() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.verification_status := 'unverified';
            DELETE FROM email_verifications WHERE user_id = NEW.id;
            DELETE FROM password_resets WHERE user_id = NEW.id;
            RETURN NEW;
        END $$;
        CREATE TRIGGER unverify_address BEFORE UPDATE OF email ON users FOR EACH ROW
            WHEN (lower(OLD.email) <> lower(NEW.email)) EXECUTE FUNCTION unverify_address()
    """)
