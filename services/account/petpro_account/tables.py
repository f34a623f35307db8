"""The tables that account owns; those of the message layer are petpro_common's."""

from sqlalchemy import (
    DATE,
    INTEGER,
    NUMERIC,
    TEXT,
    VARCHAR,
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

METADATA = MetaData()


def _instant(name: str, *, filled: bool = True, now: bool = False) -> Column[object]:
    default = text("CURRENT_TIMESTAMP") if now else None
    return Column(name, DateTime(timezone=True), nullable=not filled, server_default=default)


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True, server_default=text("uuidv7()"))


USERS = Table(
    "users",
    METADATA,
    _id(),
    Column("email", VARCHAR(255), nullable=False),
    Column("full_name", VARCHAR(255), nullable=False),
    Column("phone_number", VARCHAR(20), nullable=False),
    Column("password_hash", VARCHAR(255), nullable=False),
    Column(
        "notification_prefs",
        JSONB,
        nullable=False,
        server_default=text("""'{"email": true, "push": true, "sms": false}'"""),
    ),
    _instant("created_at", now=True),
    _instant("updated_at", now=True),
    _instant("last_login_at", filled=False),
    Column("account_status", VARCHAR(20), nullable=False, server_default=text("'active'")),
    Column("verification_status", VARCHAR(20), nullable=False, server_default=text("'unverified'")),
    Column("role", VARCHAR(20), nullable=False, server_default=text("'customer'")),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Index("idx_users_phone", "phone_number"),
    Index("idx_users_admin", "id", postgresql_where=text("role = 'admin'")),
)
Index("idx_users_email", func.lower(USERS.c.email), unique=True)

PETS = Table(
    "pets",
    METADATA,
    _id(),
    Column("user_id", Uuid, nullable=False),
    Column("name", VARCHAR(100), nullable=False),
    Column("species", VARCHAR(50), nullable=False),
    Column("breed", VARCHAR(100)),
    Column("birthdate", DATE),
    Column("weight", NUMERIC(5, 2)),
    Column("gender", VARCHAR(10)),
    Column("medical_history", JSONB, nullable=False, server_default=text("'{}'")),
    Column("photo_url", VARCHAR(255)),
    Column("microchip_id", VARCHAR(50)),
    _instant("created_at", now=True),
    _instant("updated_at", now=True),
    _instant("deleted_at", filled=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user", ondelete="CASCADE"),
    Index("idx_pets_user_id", "user_id", "id"),
    Index("idx_pets_species", "species"),
    Index("idx_pets_breed", "breed"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    _id(),
    Column("user_id", Uuid, nullable=False),
    _instant("created_at", now=True),
    _instant("expires_at"),
    _instant("revoked_at", filled=False),
    ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user", ondelete="CASCADE"),
    Index("idx_sessions_user", "user_id"),
    Index("idx_sessions_expiry", "expires_at"),
)

REFRESH_TOKENS = Table(
    "refresh_tokens",
    METADATA,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid, nullable=False),
    _instant("created_at", now=True),
    _instant("expires_at"),
    _instant("used_at", filled=False),
    Column("successor_salt", LargeBinary),
    ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_session", ondelete="CASCADE"),
    Index("idx_refresh_tokens_session", "session_id"),
    Index("idx_refresh_tokens_expiry", "expires_at"),
)

USER_OPERATIONS = Table(
    "user_operations",
    METADATA,
    _id(),
    _instant("at", now=True),
    Column("operator", TEXT, nullable=False),
    Column("verb", VARCHAR(30), nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("role", VARCHAR(20)),
    Index("idx_user_operations_user", "user_id"),
    Index("idx_user_operations_set_role", "user_id", postgresql_where=text("verb = 'set_role'")),
)

SIGN_IN_FAILURES = Table(
    "sign_in_failures",
    METADATA,
    Column("address_hash", LargeBinary, primary_key=True),
    Column("failures", INTEGER, nullable=False),
    _instant("window_started_at"),
    Index("idx_sign_in_failures_window", "window_started_at"),
)

PASSWORD_RESETS = Table(
    "password_resets",
    METADATA,
    Column("user_id", Uuid, primary_key=True),
    Column("id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("token_hashes", ARRAY(LargeBinary), nullable=False, server_default=text("'{}'")),
    _instant("expires_at"),
    ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user", ondelete="CASCADE"),
    Index("idx_password_resets_id", "id", unique=True),
    Index("idx_password_resets_expiry", "expires_at"),
)

PASSWORD_RESET_REQUESTS = Table(
    "password_reset_requests",
    METADATA,
    Column("address_hash", LargeBinary, primary_key=True),
    Column("requests", INTEGER, nullable=False),
    _instant("window_started_at"),
    Index("idx_password_reset_requests_window", "window_started_at"),
)

EMAIL_VERIFICATIONS = Table(
    "email_verifications",
    METADATA,
    Column("user_id", Uuid, primary_key=True),
    Column("id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("token_hashes", ARRAY(LargeBinary), nullable=False, server_default=text("'{}'")),
    _instant("expires_at"),
    ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user", ondelete="CASCADE"),
    Index("idx_email_verifications_id", "id", unique=True),
    Index("idx_email_verifications_expiry", "expires_at"),
)

EMAIL_VERIFICATION_REQUESTS = Table(
    "email_verification_requests",
    METADATA,
    Column("address_hash", LargeBinary, primary_key=True),
    Column("requests", INTEGER, nullable=False),
    _instant("window_started_at"),
    Index("idx_email_verification_requests_window", "window_started_at"),
)
