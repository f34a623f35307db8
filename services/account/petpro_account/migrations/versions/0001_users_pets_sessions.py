"""Users, pets, sessions with their refresh tokens, and the count of failed sign-ins.

The extension citext is not used: it would change the type of a column of the domain document.
"""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_V1
from petpro_common.messaging.schema import MESSAGING_V1

revision = "0001"
down_revision = None

_USERS = r"""
CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    email VARCHAR(255) NOT NULL,
    full_name VARCHAR(255) NOT NULL,
    phone_number VARCHAR(20) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    notification_prefs JSONB NOT NULL DEFAULT '{"email": true, "push": true, "sms": false}',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_login_at TIMESTAMP WITH TIME ZONE,
    account_status VARCHAR(20) NOT NULL DEFAULT 'active',
    verification_status VARCHAR(20) NOT NULL DEFAULT 'unverified',
    role VARCHAR(20) NOT NULL DEFAULT 'customer',
    version BIGINT NOT NULL DEFAULT 1,

    CONSTRAINT email_format CHECK (
        email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+[.][^@.[:space:][:cntrl:]]+$'
        AND email IS NFC NORMALIZED
    ),
    CONSTRAINT full_name_filled CHECK (full_name ~ '[^[:space:]]'),
    CONSTRAINT phone_number_e164 CHECK (phone_number ~ '^([+][1-9][0-9]{6,14})?$'),
    CONSTRAINT notification_prefs_object CHECK (jsonb_typeof(notification_prefs) = 'object'),
    CONSTRAINT account_status_known CHECK (account_status IN ('active', 'suspended', 'erased')),
    CONSTRAINT verification_status_known CHECK (verification_status IN ('unverified', 'verified')),
    CONSTRAINT role_known CHECK (role IN ('customer', 'clinic', 'admin'))
);
CREATE UNIQUE INDEX idx_users_email ON users (lower(email));
CREATE INDEX idx_users_phone ON users (phone_number);
"""

_PETS = """
CREATE TABLE pets (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    user_id UUID NOT NULL,
    name VARCHAR(100) NOT NULL,
    species VARCHAR(50) NOT NULL,
    breed VARCHAR(100),
    birthdate DATE,
    weight DECIMAL(5,2),
    gender VARCHAR(10) CHECK (gender IN ('male', 'female', 'unknown')),
    medical_history JSONB NOT NULL DEFAULT '{}',
    photo_url VARCHAR(255),
    microchip_id VARCHAR(50),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    deleted_at TIMESTAMP WITH TIME ZONE,
    version BIGINT NOT NULL DEFAULT 1,

    CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT weight_positive CHECK (weight > 0)
);
CREATE INDEX idx_pets_user_id ON pets (user_id, id);
CREATE INDEX idx_pets_species ON pets (species);
CREATE INDEX idx_pets_breed ON pets (breed);
"""

_SESSIONS = """
CREATE TABLE sessions (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,

    CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX idx_sessions_user ON sessions (user_id);
CREATE INDEX idx_sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    token_hash BYTEA PRIMARY KEY,
    session_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,

    CONSTRAINT fk_session FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE,
    CONSTRAINT token_hash_sha256 CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX idx_refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX idx_refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE sign_in_failures (
    address_hash BYTEA PRIMARY KEY,
    failures INTEGER NOT NULL,
    window_started_at TIMESTAMP WITH TIME ZONE NOT NULL,

    CONSTRAINT address_hash_sha256 CHECK (octet_length(address_hash) = 32),
    CONSTRAINT failures_counted CHECK (failures > 0)
);
CREATE INDEX idx_sign_in_failures_window ON sign_in_failures (window_started_at);
"""


def upgrade() -> None:
    for statements in (_USERS, _PETS, _SESSIONS, MESSAGING_V1, IDEMPOTENCY_V1):
        op.execute(statements)
