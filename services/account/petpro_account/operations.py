"""What administrators do about accounts. Each act has the transaction and the locked user, and is kept.

    active <──reinstate── suspended          customer, clinic <──set role──> admin
       ╰─────suspend────────^                   all sessions end with a new role, too
         all sessions end with it               customer ──erase──> what `erasure` leaves of them

- With a person's sessions goes the mail by which they may set a password: who has the one may have had the other.
- A sign-in or refresh at the same moment waits for the row, or comes first and is ended.
- Who acts must be an active administrator when the locks are held, whatever their token says: of two who would unmake
  each other at the same moment one remains. As nobody may do it to themselves, there is always an administrator.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from petpro_account import erasure, messages, store, store_personal, store_resets, store_sessions
from petpro_account.contacts import address_hash
from petpro_account.domain import OwnAccount, User, UserNotFound, anonymous
from petpro_common.context import Role
from petpro_common.db import Transaction
from petpro_common.errors import Forbidden


@dataclass(frozen=True)
class Act:
    """What an act does: the status it leaves, whether it ends sessions, whether it forgets failed sign-ins."""

    status: str | None = None
    ends_sessions: bool = False
    unlocks: bool = False
    is_for_others: bool = False
    """Nobody may do it to themselves."""


ACTS = {
    "suspend": Act(status="suspended", ends_sessions=True, is_for_others=True),
    "set_role": Act(is_for_others=True),
    "reinstate": Act(status="active"),
    "end_sessions": Act(ends_sessions=True),
    "unlock_sign_in": Act(unlocks=True),
}
ERASE = "erase"


@dataclass(frozen=True)
class Order:
    """Who wants something done to whom, and why. With `dry_run` nothing is changed or kept."""

    operator: UUID
    user_id: UUID
    reason: str
    dry_run: bool
    role: Role | None = None
    """Which one `set_role` gives."""


@dataclass(frozen=True)
class Done:
    """An account as an act leaves it, and how many sessions it ends."""

    user: User
    ended_sessions: int


async def do(tx: Transaction, verb: str, order: Order) -> Done:
    """Does one of ACTS, or ERASE, and keeps it.

    Raises UserNotFound, OwnAccount for who would suspend themselves or change their own role, NotACustomer for whom
    nobody can erase, and Forbidden for who is no administrator any more.
    """
    if verb == ERASE:
        return await _erase(tx, order)
    act, user = ACTS[verb], await _locked(tx, order)
    if act.is_for_others and user.id == order.operator:
        raise OwnAccount
    wanted = {"account_status": act.status, "role": order.role}
    changes: dict[str, Any] = {
        name: value for name, value in wanted.items() if value not in (None, getattr(user, name))
    }
    ends_sessions = act.ends_sessions or "role" in changes
    ended = await store_sessions.count_sessions(tx, user.id) if ends_sessions else 0
    if order.dry_run:
        return Done(replace(user, **changes), ended)
    if ends_sessions:
        store_sessions.revoke_sessions(tx, user.id)
        store_resets.close_reset(tx, user.id)
    if act.unlocks:
        store_sessions.clear_failures(tx, address_hash(user.email))
    store.note_operation(tx, order.operator, verb, user.id, order.reason, order.role)
    return Done(await _changed(tx, user, changes), ended)


async def _erase(tx: Transaction, order: Order) -> Done:
    user = await _found(tx, order) or await store_personal.erased_user(tx, order.user_id)
    if user is None:
        raise UserNotFound
    erasure.check(user)
    ended = await store_sessions.count_sessions(tx, user.id)
    if order.dry_run:
        return Done(anonymous(user), ended)
    store.note_operation(tx, order.operator, ERASE, user.id, order.reason, None)
    return Done(await erasure.erase(tx, user), ended)


async def _locked(tx: Transaction, order: Order) -> User:
    user = await _found(tx, order)
    if user is None:
        raise UserNotFound
    return user


async def _found(tx: Transaction, order: Order) -> User | None:
    found = await store.lock_users(tx, order.operator, order.user_id)
    operator = found.get(order.operator)
    if operator is None or operator.role is not Role.ADMIN or operator.account_status != "active":
        raise Forbidden
    return found.get(order.user_id)


async def _changed(tx: Transaction, user: User, changes: dict[str, Any]) -> User:
    if not changes:
        return user
    changed = await store.edit_user(tx, user.id, changes, {})
    if changed is None:
        raise UserNotFound
    messages.tell_user_changed(tx, changed)
    return changed
