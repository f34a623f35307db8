"""Erasing a person: the row and its id stay, and nothing by which anybody would know them.

    active, suspended ──erase──> erased        for good

- Under the user's row lock, in one transaction: user, pets, sessions, failed sign-ins, stored answers and, by the
  trigger `unverify_address`, the links that were mailed. A sign-in, an edit or a new pet at the same moment comes
  before, and is erased with them, or is refused.
- The address is free again, and nobody can sign in to what is left. How many mails went there stays known, hashed, for
  as long as they are counted: nobody gets more sent to a stranger by signing up, being erased, and signing up again.
- `user.erased` and, for each pet, `pet.changed` tell the other services; these hold ids alone. Of one who was erased it
  is told again, for a service that was restored from a backup of before.
- Customers alone: a clinic would be left without its owner.
"""

from uuid import UUID

from petpro_account import messages, store, store_personal, store_sessions
from petpro_account.contacts import address_hash
from petpro_account.domain import MAX_FAILURES, BadCredentials, NotACustomer, User, anonymous
from petpro_account.sessions import Attempt
from petpro_account.store_sessions import Credentials
from petpro_common.context import Role
from petpro_common.db import Transaction


async def was_erased(tx: Transaction, user_id: UUID) -> bool:
    """Whether the person was erased before."""
    return await store_personal.erased_user(tx, user_id) is not None


async def erase_oneself(tx: Transaction, attempt: Attempt, credentials: Credentials) -> None:
    """Erases who has said the right password.

    Raises TooManySignIns when the address was closed meanwhile, BadCredentials when the account was, or has another
    password by now, and NotACustomer.
    """
    (await store_sessions.failures(tx, attempt.address_hash)).refuse_at(MAX_FAILURES)
    user = (await store.lock_users(tx, credentials.user_id, credentials.user_id)).get(credentials.user_id)
    if user is None or await store_sessions.credentials(tx, user.email) != credentials:
        raise BadCredentials
    check(user)
    await erase(tx, user)


def check(user: User) -> None:
    """Raises NotACustomer for everybody else."""
    if user.role is not Role.CUSTOMER:
        raise NotACustomer


async def erase(tx: Transaction, user: User) -> User:
    """Erases a user whose row is locked, and tells of it; one who was erased is only told of again."""
    left = user
    if user.account_status != "erased":
        store_sessions.clear_failures(tx, address_hash(user.email))
        left = await store_personal.anonymise(tx, anonymous(user))
        for pet in await store_personal.anonymise_pets(tx, user.id):
            messages.tell_pet_changed(tx, pet)
        store_personal.forget_the_rest(tx, user.id)
    messages.tell_erased(tx, left)
    return left
