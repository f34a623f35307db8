"""Which rows of account are about a person, what they are told of them, and what is left when they are erased."""

from uuid import UUID

from sqlalchemy import delete, func, null, select, text, update

from petpro_account.domain import Pet, User
from petpro_account.store import PET_COLUMNS, USER_COLUMNS, user_of
from petpro_account.tables import PETS, SESSIONS, USERS
from petpro_common import idempotency
from petpro_common.db import Transaction
from petpro_common.personal.held import Held

HELD = (
    Held(
        "users",
        "id, email, full_name, phone_number, notification_prefs, created_at, updated_at, last_login_at,"
        " account_status, verification_status, role, version",
        secrets="password_hash",
        theirs="id = :user_id",
    ),
    Held(
        "pets",
        "id, user_id, name, species, breed, birthdate, weight, gender, medical_history, photo_url, microchip_id,"
        " created_at, updated_at, deleted_at, version",
    ),
    Held("sessions", "id, user_id, created_at, expires_at, revoked_at"),
    Held("password_resets", "user_id, expires_at", secrets="id, token_hashes", key="user_id"),
    Held("email_verifications", "user_id, expires_at", secrets="id, token_hashes", key="user_id"),
    Held("user_operations", "id, at, verb, user_id, reason, role", secrets="operator"),
)
"""Refresh tokens and failed sign-ins are hashes of secrets and addresses, and are told to nobody."""

_NOW = func.current_timestamp()
# Whoever registered had no name for us yet. Administrators, and who was one, are answered with accounts and pets of
# others.
_FORGET_ANSWERS = text("""
    DELETE FROM idempotency_keys
    WHERE caller = ANY(ARRAY(
        SELECT '' UNION SELECT CAST(id AS text) FROM users WHERE role = 'admin'
        UNION SELECT CAST(user_id AS text) FROM user_operations WHERE verb = 'set_role'))
      AND position(convert_to(CAST(:user_id AS text), 'UTF8') IN reply) > 0
""")


async def erased_user(tx: Transaction, user_id: UUID) -> User | None:
    """What is left of somebody who was erased; None of anybody else. Takes no lock."""
    statement = select(*USER_COLUMNS).where(USERS.c.id == user_id, USERS.c.account_status == "erased")
    row = (await tx.execute(statement)).first()
    return user_of(row) if row else None


async def anonymise(tx: Transaction, left: User) -> User:
    """Leaves so much of a user; the caller holds the row's lock."""
    statement = (
        update(USERS)
        .where(USERS.c.id == left.id)
        .values(
            email=left.email,
            full_name=left.full_name,
            phone_number=left.phone_number,
            password_hash="",
            notification_prefs=left.notification_prefs,
            account_status=left.account_status,
            verification_status=left.verification_status,
            last_login_at=null(),
            updated_at=_NOW,
            version=USERS.c.version + 1,
        )
        .returning(*USER_COLUMNS)
    )
    return user_of((await tx.execute(statement)).one())


async def anonymise_pets(tx: Transaction, owner: UUID) -> list[Pet]:
    """Leaves ids and species of a person's pets, all of them deleted; one that is being edited is waited for."""
    nothing = ("breed", "birthdate", "weight", "gender", "photo_url", "microchip_id")
    statement = (
        update(PETS)
        .where(PETS.c.user_id == owner)
        .values(
            name="Erased",
            medical_history={},
            **dict.fromkeys(nothing, null()),
            deleted_at=func.coalesce(PETS.c.deleted_at, _NOW),
            updated_at=_NOW,
            version=PETS.c.version + 1,
        )
        .returning(*PET_COLUMNS)
    )
    return [Pet(**row._asdict()) for row in await tx.execute(statement)]


def forget_the_rest(tx: Transaction, user_id: UUID) -> None:
    """Ends a person's sessions, of which nothing stays, and forgets what anybody was answered about them."""
    tx.write(delete(SESSIONS).where(SESSIONS.c.user_id == user_id))
    tx.write(_FORGET_ANSWERS, {"user_id": user_id})
    idempotency.forget(tx, [user_id])
