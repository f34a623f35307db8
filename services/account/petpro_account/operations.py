"""What administrators do about accounts. Each act has the transaction and the locked user, and is kept.

    active <──reinstate── suspended
       ╰─────suspend────────^   all sessions end with it

A sign-in or refresh at the same moment waits for the row, or comes first and is ended.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from petpro_account import messages, store, store_sessions
from petpro_account.contacts import address_hash
from petpro_account.domain import OwnAccount, User, UserNotFound
from petpro_common.db import Transaction


@dataclass(frozen=True)
class Act:
    """What an act does: the status it leaves, whether it ends sessions, whether it forgets failed sign-ins."""

    status: str | None = None
    ends_sessions: bool = False
    unlocks: bool = False


ACTS = {
    "suspend": Act(status="suspended", ends_sessions=True),
    "reinstate": Act(status="active"),
    "end_sessions": Act(ends_sessions=True),
    "unlock_sign_in": Act(unlocks=True),
}


@dataclass(frozen=True)
class Order:
    """Who wants something done to whom, and why. With `dry_run` nothing is changed or kept."""

    operator: str
    user_id: UUID
    reason: str
    dry_run: bool


@dataclass(frozen=True)
class Done:
    """An account as an act leaves it, and how many sessions it ends."""

    user: User
    ended_sessions: int


async def do(tx: Transaction, verb: str, order: Order) -> Done:
    """Does one of ACTS and keeps it. Raises UserNotFound, and OwnAccount for who would suspend themselves."""
    act, user = ACTS[verb], await store.lock_user(tx, order.user_id)
    if user is None:
        raise UserNotFound
    if verb == "suspend" and str(user.id) == order.operator:
        raise OwnAccount
    ended = await store_sessions.count_sessions(tx, user.id) if act.ends_sessions else 0
    if order.dry_run:
        return Done(replace(user, account_status=act.status or user.account_status), ended)
    if act.ends_sessions:
        await store_sessions.revoke_sessions(tx, user.id)
    if act.unlocks:
        await store_sessions.clear_failures(tx, address_hash(user.email))
    await store.note_operation(tx, order.operator, verb, user.id, order.reason)
    return Done(await _with_status(tx, user, act.status), ended)


async def _with_status(tx: Transaction, user: User, status: str | None) -> User:
    if status is None or user.account_status == status:
        return user
    changed = await store.edit_user(tx, user.id, {"account_status": status}, {})
    if changed is None:
        raise UserNotFound
    await messages.tell_user_changed(tx, changed)
    return changed
