"""Every statement about sign-in: credentials, sessions, refresh tokens, failures. Time is the database's."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, case, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from petpro_account.domain import FAILURE_WINDOW, REFRESH_AGAIN, REFRESH_TOKEN_LIFE, Failures
from petpro_account.tables import REFRESH_TOKENS, SESSIONS, SIGN_IN_FAILURES, USERS
from petpro_common.context import Role
from petpro_common.db import Transaction

_NOW = func.current_timestamp()


@dataclass(frozen=True)
class Credentials:
    """Who signs in, and the stored hash of their password."""

    user_id: UUID
    password_hash: str


_CREDENTIALS = select(USERS.c.id, USERS.c.password_hash).where(
    func.lower(USERS.c.email) == func.lower(bindparam("email")), USERS.c.account_status == "active"
)


async def credentials(tx: Transaction, email: str) -> Credentials | None:
    """The credentials of the active user who has this address in any spelling. Takes no lock."""
    row = (await tx.execute(_CREDENTIALS, {"email": email})).first()
    return Credentials(row.id, row.password_hash) if row else None


_KEPT = _CREDENTIALS.with_for_update(read=True, key_share=True)


async def kept_person(tx: Transaction, email: str) -> UUID | None:
    """The active person who has this address in any spelling. Whoever would erase or suspend them meanwhile waits."""
    row = (await tx.execute(_KEPT, {"email": email})).first()
    return row.id if row else None


_SIGNED_IN = (
    update(USERS)
    .where(
        USERS.c.id == bindparam("user_id"),
        USERS.c.password_hash == bindparam("hash"),
        USERS.c.account_status == "active",
    )
    .values(last_login_at=_NOW)
    .returning(USERS.c.role)
)


async def note_sign_in(tx: Transaction, found: Credentials) -> Role | None:
    """Sets the user's last_login_at; their role, or None when the account is closed or has another password by now."""
    role = (await tx.execute(_SIGNED_IN, {"user_id": found.user_id, "hash": found.password_hash})).scalar()
    return Role(role) if role else None


_CHANGED_PASSWORD = (
    update(USERS)
    .where(
        USERS.c.id == bindparam("user_id"),
        USERS.c.password_hash == bindparam("old_hash"),
        USERS.c.account_status == "active",
    )
    .values(password_hash=bindparam("new_hash"), updated_at=_NOW)
    .returning(USERS.c.id)
)


async def change_password(tx: Transaction, old: Credentials, new_hash: str) -> bool:
    """Stores the hash of another password; False when the account is closed or has another one by now."""
    row = {"user_id": old.user_id, "old_hash": old.password_hash, "new_hash": new_hash}
    return (await tx.execute(_CHANGED_PASSWORD, row)).first() is not None


def replace_password_hash(tx: Transaction, old: Credentials, new_hash: str) -> None:
    """Stores a hash made with today's parameters, unless the password was changed meanwhile."""
    tx.write(
        update(USERS)
        .where(USERS.c.id == old.user_id, USERS.c.password_hash == old.password_hash)
        .values(password_hash=new_hash)
    )


_NEW_SESSION = insert(SESSIONS).values(expires_at=_NOW + REFRESH_TOKEN_LIFE).returning(SESSIONS.c.id)


async def add_session(tx: Transaction, user_id: UUID) -> UUID:
    """A new session; it lasts as long as its newest refresh token."""
    return UUID(str((await tx.execute(_NEW_SESSION, {"user_id": user_id})).scalar_one()))


_NEW_TOKEN = insert(REFRESH_TOKENS).values(expires_at=_NOW + REFRESH_TOKEN_LIFE)


def add_refresh_token(tx: Transaction, session_id: UUID, token_hash: bytes) -> None:
    """A refresh token of a session. The hash is the primary key: no token exists twice."""
    tx.write(_NEW_TOKEN, {"session_id": session_id, "token_hash": token_hash})


@dataclass(frozen=True)
class Presented:
    """A refresh token as it was found. `role` is the user's present one; None when the account is closed."""

    session_id: UUID
    user_id: UUID
    role: Role | None
    is_used: bool
    is_over: bool
    """Out of date, or its session revoked."""
    salt: bytes | None
    """That of its successor, when it was used with an idempotency key and within REFRESH_AGAIN."""


# Each row by its key: a plan by joins that was made while the tables were nearly empty reads them all, again and again.
_SESSION_ID = (
    select(REFRESH_TOKENS.c.session_id).where(REFRESH_TOKENS.c.token_hash == bindparam("token_hash")).scalar_subquery()
)
_USER_ID = select(SESSIONS.c.user_id).where(SESSIONS.c.id == _SESSION_ID).scalar_subquery()
_PRESENTED = (
    select(
        SESSIONS.c.id.label("session_id"),
        SESSIONS.c.user_id,
        case((USERS.c.account_status == "active", USERS.c.role)).label("role"),
        REFRESH_TOKENS.c.used_at.is_not(None).label("is_used"),
        (REFRESH_TOKENS.c.expires_at <= _NOW).label("is_expired"),
        SESSIONS.c.revoked_at.is_not(None).label("is_revoked"),
        case((REFRESH_TOKENS.c.used_at > _NOW - REFRESH_AGAIN, REFRESH_TOKENS.c.successor_salt)).label("salt"),
    )
    .select_from(REFRESH_TOKENS)
    .join(SESSIONS, SESSIONS.c.id == _SESSION_ID)
    .join(USERS, USERS.c.id == _USER_ID)
    .where(REFRESH_TOKENS.c.token_hash == bindparam("token_hash"))
    .with_for_update(of=[SESSIONS, REFRESH_TOKENS])
)


async def present_refresh_token(tx: Transaction, token_hash: bytes) -> Presented | None:
    """The token, with a lock on it and on its session: all that befalls one session happens one after the other."""
    row = (await tx.execute(_PRESENTED, {"token_hash": token_hash})).first()
    if row is None:
        return None
    role = Role(row.role) if row.role else None
    is_over = row.is_expired or row.is_revoked
    return Presented(row.session_id, row.user_id, role, row.is_used, is_over, row.salt and bytes(row.salt))


_IS_OF_SESSION = select(
    exists().where(
        REFRESH_TOKENS.c.token_hash == bindparam("hash"), REFRESH_TOKENS.c.session_id == bindparam("session")
    )
)


async def is_of_session(tx: Transaction, token_hash: bytes, session_id: UUID) -> bool:
    """Whether the session has had such a token. Takes no lock."""
    return bool((await tx.execute(_IS_OF_SESSION, {"hash": token_hash, "session": session_id})).scalar_one())


def use_refresh_token(tx: Transaction, token_hash: bytes, session_id: UUID, salt: bytes | None) -> None:
    """Marks a token as used, and lets its session last on. The caller holds both locks."""
    used = update(REFRESH_TOKENS).where(REFRESH_TOKENS.c.token_hash == token_hash)
    tx.write(used.values(used_at=_NOW, successor_salt=salt))
    tx.write(update(SESSIONS).where(SESSIONS.c.id == session_id).values(expires_at=_NOW + REFRESH_TOKEN_LIFE))


def revoke_session(tx: Transaction, session_id: UUID) -> None:
    """Ends a session with all its refresh tokens; the first time counts."""
    tx.write(
        update(SESSIONS).where(SESSIONS.c.id == session_id, SESSIONS.c.revoked_at.is_(None)).values(revoked_at=_NOW)
    )


_OPEN_SESSIONS = select(func.count()).where(
    SESSIONS.c.user_id == bindparam("user_id"), SESSIONS.c.revoked_at.is_(None), SESSIONS.c.expires_at > _NOW
)


async def count_sessions(tx: Transaction, user_id: UUID) -> int:
    """How many sessions of a person go on."""
    return int((await tx.execute(_OPEN_SESSIONS, {"user_id": user_id})).scalar_one())


def revoke_sessions(tx: Transaction, user_id: UUID) -> None:
    """Ends all sessions of a person with all their refresh tokens; one that is being refreshed is waited for."""
    tx.write(
        update(SESSIONS).where(SESSIONS.c.user_id == user_id, SESSIONS.c.revoked_at.is_(None)).values(revoked_at=_NOW)
    )


_WINDOW_END = SIGN_IN_FAILURES.c.window_started_at + FAILURE_WINDOW
_REMAINING = (_WINDOW_END - _NOW).label("remaining")
_FAILURES = select(SIGN_IN_FAILURES.c.failures, _REMAINING).where(
    SIGN_IN_FAILURES.c.address_hash == bindparam("address"), _WINDOW_END > _NOW
)


async def failures(tx: Transaction, address_hash: bytes) -> Failures:
    """The failures of the present window. Takes no lock."""
    row = (await tx.execute(_FAILURES, {"address": address_hash})).first()
    return Failures(row.failures, row.remaining) if row else Failures()


_FAILED = (
    upsert(SIGN_IN_FAILURES)
    .values(failures=1, window_started_at=_NOW)
    .on_conflict_do_update(
        index_elements=[SIGN_IN_FAILURES.c.address_hash],
        set_={
            "failures": case((_WINDOW_END > _NOW, SIGN_IN_FAILURES.c.failures + 1), else_=1),
            "window_started_at": case((_WINDOW_END > _NOW, SIGN_IN_FAILURES.c.window_started_at), else_=_NOW),
        },
    )
    .returning(SIGN_IN_FAILURES.c.failures, _REMAINING)
)


async def add_failure(tx: Transaction, address_hash: bytes) -> Failures:
    """One failure more, this one included; a window that is over begins anew. Counts exactly, however many at once."""
    row = (await tx.execute(_FAILED, {"address_hash": address_hash})).one()
    return Failures(row.failures, row.remaining)


def clear_failures(tx: Transaction, address_hash: bytes) -> None:
    """Forgets the failures of an address."""
    tx.write(delete(SIGN_IN_FAILURES).where(SIGN_IN_FAILURES.c.address_hash == address_hash))
