"""Every statement about users and pets. What concerns sign-in is in `store_sessions`.

An edit raises the row's `version` by one in the same statement, so that whoever projects the row can tell old from new.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, any_, bindparam, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from petpro_account.domain import Pet, User
from petpro_account.tables import PETS, USER_OPERATIONS, USERS
from petpro_common.context import Role
from petpro_common.db import Row, Transaction

USER_COLUMNS = [column for column in USERS.c if column.name not in ("password_hash", "last_login_at")]
PET_COLUMNS = [column for column in PETS.c if column.name != "medical_history"]
"""Of a pet in a list; its history is read of one pet at a time."""


def user_of(row: Row) -> User:
    """The user that a row with USER_COLUMNS holds."""
    return User(**{**row._asdict(), "role": Role(row.role)})


async def add_user(tx: Transaction, values: Mapping[str, Any]) -> User | None:
    """A new user, or None when the address belongs to another one.

    The unique index on the lower-case address decides: of two at the same time the second waits and gets None.
    """
    statement = (
        upsert(USERS)
        .values(values)
        .on_conflict_do_nothing(index_elements=[func.lower(USERS.c.email)])
        .returning(*USER_COLUMNS)
    )
    row = (await tx.execute(statement)).first()
    return user_of(row) if row else None


_USER_BY_ID = select(*USER_COLUMNS).where(USERS.c.id == bindparam("user_id"), USERS.c.account_status != "erased")


async def user(tx: Transaction, user_id: UUID) -> User | None:
    """The user, unless erased. Takes no lock."""
    row = (await tx.execute(_USER_BY_ID, {"user_id": user_id})).first()
    return user_of(row) if row else None


_USERS_BY_IDS = select(*USER_COLUMNS).where(
    USERS.c.id == any_(bindparam("user_ids", type_=ARRAY(USERS.c.id.type))), USERS.c.account_status != "erased"
)


async def users(tx: Transaction, user_ids: Sequence[UUID]) -> list[User]:
    """Those of the users who are not erased, in no certain order. Takes no lock."""
    return [user_of(row) for row in await tx.execute(_USERS_BY_IDS, {"user_ids": list(user_ids)})]


_ROLE_BY_ADDRESS = select(USERS.c.role).where(func.lower(USERS.c.email) == func.lower(bindparam("email")))


async def role_at_address(tx: Transaction, email: str) -> Role | None:
    """The role of whoever has this address in any spelling. Takes no lock."""
    found = (await tx.execute(_ROLE_BY_ADDRESS, {"email": email})).scalar()
    return Role(found) if found else None


async def edit_user(
    tx: Transaction, user_id: UUID, values: Mapping[str, Any], notification_prefs: Mapping[str, bool]
) -> User | None:
    """Changes a user who is not erased, or returns None. Preferences that are not named stay as they are."""
    statement = (
        update(USERS)
        .where(USERS.c.id == user_id, USERS.c.account_status != "erased")
        .values(
            **values,
            notification_prefs=USERS.c.notification_prefs.concat(literal(dict(notification_prefs), PREFS_TYPE)),
            updated_at=func.current_timestamp(),
            version=USERS.c.version + 1,
        )
        .returning(*USER_COLUMNS)
    )
    row = (await tx.execute(statement)).first()
    return user_of(row) if row else None


_LOCKED = (
    select(*USER_COLUMNS)
    .where(or_(USERS.c.id == bindparam("one"), USERS.c.id == bindparam("other")), USERS.c.account_status != "erased")
    .order_by(USERS.c.id)
    .with_for_update()
)


async def lock_users(tx: Transaction, one: UUID, other: UUID) -> dict[UUID, User]:
    """Those who are not erased, by id, under row locks: a sign-in at the same moment comes before or after.

    The locks are taken in the order of the ids, so that two administrators who act on each other take turns.
    """
    rows = await tx.execute(_LOCKED, {"one": one, "other": other})
    return {row.id: user_of(row) for row in rows}


def note_operation(tx: Transaction, operator: UUID, verb: str, user_id: UUID, reason: str, role: Role | None) -> None:
    """Keeps who did what about an account, and why; the database lets nobody change it."""
    row = {"operator": str(operator), "verb": verb, "user_id": user_id, "reason": reason, "role": role}
    tx.write(insert(USER_OPERATIONS).values(row))


PREFS_TYPE = USERS.c.notification_prefs.type


def _visible(pet_id: UUID, owner: UUID | None) -> list[ColumnElement[bool]]:
    """A pet that is not deleted and belongs to `owner`; None stands for whoever may see everything."""
    conditions = [PETS.c.id == pet_id, PETS.c.deleted_at.is_(None)]
    return conditions if owner is None else [*conditions, PETS.c.user_id == owner]


async def add_pet(tx: Transaction, owner: UUID, values: Mapping[str, Any]) -> Pet | None:
    """A new pet of an active owner, or None when there is no such owner. Who is being erased is waited for."""
    columns = ["user_id", *values]
    row = (
        select(USERS.c.id, *(literal(value, PETS.c[name].type) for name, value in values.items()))
        .where(USERS.c.id == owner, USERS.c.account_status == "active")
        .with_for_update(read=True, key_share=True)
    )
    statement = insert(PETS).from_select(columns, row, include_defaults=False).returning(*PETS.c)
    found = (await tx.execute(statement)).first()
    return Pet(**found._asdict()) if found else None


async def pet(tx: Transaction, pet_id: UUID, owner: UUID | None) -> Pet | None:
    """The pet, when `owner` may see it. Takes no lock."""
    row = (await tx.execute(select(PETS).where(*_visible(pet_id, owner)))).first()
    return Pet(**row._asdict()) if row else None


_PETS_OF_OWNER = (
    select(*PET_COLUMNS)
    .where(PETS.c.user_id == bindparam("owner"), PETS.c.deleted_at.is_(None), PETS.c.id > bindparam("after"))
    .order_by(PETS.c.id)
    .limit(bindparam("count"))
)


async def pets(tx: Transaction, owner: UUID, after: UUID, count: int) -> list[Pet]:
    """The owner's pets in the order of their ids, which is that of their making, from the one after `after`."""
    rows = await tx.execute(_PETS_OF_OWNER, {"owner": owner, "after": after, "count": count})
    return [Pet(**row._asdict()) for row in rows]


async def edit_pet(tx: Transaction, pet_id: UUID, owner: UUID | None, values: Mapping[str, Any]) -> Pet | None:
    """Changes a pet that `owner` may see, or returns None. Two edits at once take turns on the row."""
    statement = (
        update(PETS)
        .where(*_visible(pet_id, owner))
        .values(**values, updated_at=func.current_timestamp(), version=PETS.c.version + 1)
        .returning(*PETS.c)
    )
    row = (await tx.execute(statement)).first()
    return Pet(**row._asdict()) if row else None


async def remove_pet(tx: Transaction, pet_id: UUID, owner: UUID | None) -> Pet | None:
    """Marks a pet as deleted, once: of two at the same time the second gets None."""
    return await edit_pet(tx, pet_id, owner, {"deleted_at": func.current_timestamp()})
