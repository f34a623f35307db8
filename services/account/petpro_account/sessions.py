"""Signing in and staying signed in.

    sign in ──> session with refresh token 1 ──refresh──> token 2 ──refresh──> token 3 ...
                    any token that comes a second time ──> session revoked
                    but within a minute, with the idempotency key that it was used with ──> the same token again

- A refresh token works once. One that comes again was copied; as nobody can tell the thief from the owner, the whole
  session ends, and the newest token with it.
- Who sends the same idempotency key again has lost the answer, and gets the same successor. With another one in its
  place the two answers could come in any order, and the token that was given up be the one that the phone has kept.
  The successor is made of token, key and a salt; the salt alone is stored, and gives nobody a token. A thief needs the
  whole request, and not the token alone; and whoever uses a successor that was used already ends the session as ever.
- Ten failures for an address within fifteen minutes close it for the rest of them, to right passwords too. The count
  is looked at before the password is checked, and again after, so that guesses sent at once gain nothing. Addresses
  that nobody has are counted alike, and take as long.
- Another password ends all sessions. A sign-in with the old one at the same moment comes before, and is ended with
  them, or is refused.
- What must be remembered of a refusal has to commit: these functions return it, and the edge raises it afterwards.
"""

from dataclasses import dataclass
from uuid import UUID

from petpro_account import messages, store_resets
from petpro_account import store_sessions as store
from petpro_account.contacts import address_hash, email_address
from petpro_account.domain import MAX_FAILURES, BadCredentials, BadRefreshToken, Failures, TooManySignIns
from petpro_account.store_sessions import Credentials
from petpro_account.tokens import new_salt, new_token, successor, token_hash
from petpro_common.context import Role
from petpro_common.db import Transaction
from petpro_common.errors import PetProError


@dataclass(frozen=True)
class Grant:
    """A person is signed in, and goes on with this refresh token."""

    user_id: UUID
    role: Role
    refresh_token: str


@dataclass(frozen=True)
class Attempt:
    """Somebody wants to sign in to an address; `credentials` is None when nobody has it."""

    address_hash: bytes
    credentials: Credentials | None


async def begin(tx: Transaction, email: str) -> Attempt:
    """What the password is to be held against. Raises TooManySignIns when the address is closed for now."""
    hashed = address_hash(email)
    (await store.failures(tx, hashed)).refuse_at(MAX_FAILURES)
    try:
        canonical = email_address(email)
    except ValueError:
        return Attempt(hashed, None)
    return Attempt(hashed, await store.credentials(tx, canonical))


async def fail(tx: Transaction, attempt: Attempt) -> PetProError:
    """Counts a wrong password; the refusal to raise once that has committed."""
    return _refusal(await store.add_failure(tx, attempt.address_hash))


def _refusal(failures: Failures) -> PetProError:
    return TooManySignIns(failures.remaining) if failures.count > MAX_FAILURES else BadCredentials()


async def succeed(tx: Transaction, attempt: Attempt, credentials: Credentials, new_hash: str | None) -> Grant:
    """Signs in after a right password, and stores its new hash if there is one.

    Raises TooManySignIns when the address was closed meanwhile, and BadCredentials when the account was, or has another
    password by now.
    """
    (await store.failures(tx, attempt.address_hash)).refuse_at(MAX_FAILURES)
    role = await store.note_sign_in(tx, credentials)
    if role is None:
        raise BadCredentials
    if new_hash:
        store.replace_password_hash(tx, credentials, new_hash)
    store.clear_failures(tx, attempt.address_hash)
    session_id = await store.add_session(tx, credentials.user_id)
    return _grant(tx, session_id, credentials.user_id, role, new_token())


async def change_password(tx: Transaction, attempt: Attempt, credentials: Credentials, new_hash: str) -> None:
    """Changes a password, after the right one, and ends all sessions: who had the old one must not stay. No mail of a
    forgotten one is good any more.

    Raises as `succeed` does.
    """
    (await store.failures(tx, attempt.address_hash)).refuse_at(MAX_FAILURES)
    if not await store.change_password(tx, credentials, new_hash):
        raise BadCredentials
    store_resets.close_reset(tx, credentials.user_id)
    store.revoke_sessions(tx, credentials.user_id)
    store.clear_failures(tx, attempt.address_hash)
    messages.tell_password_changed(tx, credentials.user_id)


async def refresh(tx: Transaction, refresh_token: str, key: str = "") -> Grant | BadRefreshToken:
    """Exchanges a refresh token, or returns the refusal to raise once what follows from it has committed.

    `key` is the request's idempotency key, or empty.
    """
    hashed = token_hash(refresh_token)
    found = await store.present_refresh_token(tx, hashed)
    if found is None or found.is_over:
        return BadRefreshToken()
    if found.role is None:
        store.revoke_session(tx, found.session_id)
        return BadRefreshToken()
    if found.is_used:
        again = successor(refresh_token, key, found.salt) if key and found.salt else ""
        if again and await store.is_of_session(tx, token_hash(again), found.session_id):
            return Grant(found.user_id, found.role, again)
        store.revoke_session(tx, found.session_id)
        return BadRefreshToken()
    salt = new_salt() if key else None
    store.use_refresh_token(tx, hashed, found.session_id, salt)
    token = successor(refresh_token, key, salt) if salt else new_token()
    return _grant(tx, found.session_id, found.user_id, found.role, token)


def _grant(tx: Transaction, session_id: UUID, user_id: UUID, role: Role, token: str) -> Grant:
    store.add_refresh_token(tx, session_id, token_hash(token))
    return Grant(user_id, role, token)
