"""Every statement about the verification of addresses. Time is the database's."""

from uuid import UUID

from sqlalchemy import LargeBinary, any_, bindparam, func, select, text, update

from petpro_account.domain import VERIFICATION_LIFE, User
from petpro_account.store import USER_COLUMNS, user_of
from petpro_account.tables import EMAIL_VERIFICATIONS, USERS
from petpro_common.db import Transaction

_HELD = (
    select(*USER_COLUMNS)
    .where(USERS.c.id == bindparam("user_id"), USERS.c.account_status == "active")
    .with_for_update(key_share=True)
)


async def held_user(tx: Transaction, user_id: UUID) -> User | None:
    """An active user, whose row nobody else changes until this ends."""
    row = (await tx.execute(_HELD, {"user_id": user_id})).first()
    return user_of(row) if row else None


_OPEN = text("""
    INSERT INTO email_verifications (user_id, expires_at) VALUES (:user_id, now() + :life)
    ON CONFLICT (user_id) DO UPDATE
        SET id = EXCLUDED.id, token_hashes = EXCLUDED.token_hashes, expires_at = EXCLUDED.expires_at
    RETURNING id
""")


async def open_verification(tx: Transaction, user_id: UUID) -> UUID:
    """A verification in place of the one before, whose tokens are worth nothing from now on; its id. The caller holds
    the user's row: another address at the same moment comes before, or ends this."""
    return UUID(str((await tx.execute(_OPEN, {"user_id": user_id, "life": VERIFICATION_LIFE})).scalar_one()))


_ADD_TOKEN = text("""
    UPDATE email_verifications SET token_hashes = token_hashes || CAST(:token_hash AS bytea)
    WHERE id = :id AND expires_at > now()
        AND (SELECT account_status FROM users WHERE users.id = user_id OFFSET 0) = 'active'
    RETURNING user_id
""")


async def add_token(tx: Transaction, verification_id: UUID, token_hash: bytes) -> bool:
    """One token more for an open verification; False when it is over, or the account is closed."""
    return (await tx.execute(_ADD_TOKEN, {"id": verification_id, "token_hash": token_hash})).first() is not None


_VERIFIED = {
    "verification_status": "verified",
    "updated_at": func.current_timestamp(),
    "version": USERS.c.version + 1,
}
_VERIFY = (
    update(USERS)
    .where(
        EMAIL_VERIFICATIONS.c.id == bindparam("verification_id"),
        bindparam("token_hash", type_=LargeBinary) == any_(EMAIL_VERIFICATIONS.c.token_hashes),
        EMAIL_VERIFICATIONS.c.expires_at > func.current_timestamp(),
        USERS.c.id == EMAIL_VERIFICATIONS.c.user_id,
        USERS.c.account_status == "active",
    )
    .values(_VERIFIED)
    .returning(*USER_COLUMNS)
)
_USE = text("DELETE FROM email_verifications WHERE id = :verification_id RETURNING user_id")


async def verify(tx: Transaction, verification_id: UUID, token_hash: bytes) -> User | None:
    """Marks a user as verified and ends the verification; the user as they are now.

    None when the token is of no open verification, or the account is closed: the caller rolls back. Of two with one
    verification the second waits for the user's row, and finds the verification gone.
    """
    row = (await tx.execute(_VERIFY, {"verification_id": verification_id, "token_hash": token_hash})).first()
    if row is None or not (await tx.execute(_USE, {"verification_id": verification_id})).first():
        return None
    return user_of(row)


_MARK = (
    update(USERS)
    .where(USERS.c.id == bindparam("user_id"), USERS.c.verification_status == "unverified")
    .values(_VERIFIED)
    .returning(*USER_COLUMNS)
)
_CLOSE = text("DELETE FROM email_verifications WHERE user_id = :user_id")


async def mark_verified(tx: Transaction, user_id: UUID) -> User | None:
    """Marks a user as verified and ends their open verification; None when they were before. The caller holds the
    user's row."""
    row = (await tx.execute(_MARK, {"user_id": user_id})).first()
    if row is None:
        return None
    tx.write(_CLOSE, {"user_id": user_id})
    return user_of(row)
