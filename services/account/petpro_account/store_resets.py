"""Every statement about forgotten passwords. Time is the database's."""

from uuid import UUID

from sqlalchemy import text

from petpro_account.domain import RESET_LIFE
from petpro_common.db import Transaction

_OPEN = text("""
    INSERT INTO password_resets (user_id, expires_at) VALUES (:user_id, now() + :life)
    ON CONFLICT (user_id) DO UPDATE
        SET id = EXCLUDED.id, token_hashes = EXCLUDED.token_hashes, expires_at = EXCLUDED.expires_at
    RETURNING id
""")


async def open_reset(tx: Transaction, user_id: UUID) -> UUID:
    """A reset of this person in place of the one before, whose tokens are worth nothing from now on; its id."""
    return UUID(str((await tx.execute(_OPEN, {"user_id": user_id, "life": RESET_LIFE})).scalar_one()))


_ADD_TOKEN = text("""
    UPDATE password_resets SET token_hashes = token_hashes || CAST(:token_hash AS bytea) FROM users
    WHERE password_resets.id = :reset_id AND expires_at > now() AND users.id = user_id AND account_status = 'active'
    RETURNING user_id
""")


async def add_token(tx: Transaction, reset_id: UUID, token_hash: bytes) -> bool:
    """One token more for an open reset; False when it is over, or the account is closed."""
    return (await tx.execute(_ADD_TOKEN, {"reset_id": reset_id, "token_hash": token_hash})).first() is not None


_IS_GOOD = text("""
    SELECT 1 FROM password_resets
    WHERE id = :reset_id AND CAST(:token_hash AS bytea) = ANY(token_hashes) AND expires_at > now()
""")


async def is_good(tx: Transaction, reset_id: UUID, token_hash: bytes) -> bool:
    """Whether the token is one of an open reset. Takes no lock."""
    return (await tx.execute(_IS_GOOD, {"reset_id": reset_id, "token_hash": token_hash})).first() is not None


_SET_PASSWORD = text("""
    UPDATE users SET password_hash = :password_hash, updated_at = now() FROM password_resets
    WHERE password_resets.id = :reset_id AND CAST(:token_hash AS bytea) = ANY(token_hashes) AND expires_at > now()
        AND users.id = user_id AND account_status = 'active'
    RETURNING users.id, email
""")
_USE = text("DELETE FROM password_resets WHERE id = :reset_id RETURNING user_id")


async def set_password(
    tx: Transaction, reset_id: UUID, token_hash: bytes, password_hash: str
) -> tuple[UUID, str] | None:
    """Stores the hash of a new password and ends the reset; whose it is, and their address.

    None when the token is of no open reset, or the account is closed: the caller rolls back. Of two with one reset the
    second waits for the user's row, and finds the reset gone.
    """
    row = {"reset_id": reset_id, "token_hash": token_hash, "password_hash": password_hash}
    found = (await tx.execute(_SET_PASSWORD, row)).first()
    if found is None or not (await tx.execute(_USE, {"reset_id": reset_id})).first():
        return None
    return found.id, found.email


_CLOSE = text("DELETE FROM password_resets WHERE user_id = :user_id")


def close_reset(tx: Transaction, user_id: UUID) -> None:
    """Ends a person's open reset, if there is one. The caller holds the user's row, as `set_password` does."""
    tx.write(_CLOSE, {"user_id": user_id})
