"""A way back for who forgot their password.

    ask ──> open ──mail leaves──> open, with a token ──reset──> gone: new password, all sessions ended
              ╰─ half an hour over, asked again, password changed, sessions ended by an administrator ─> gone

- Whoever asks learns nothing: the answer is the same for every address, and comes so long after the question that what
  was done in between cannot be told from it. Addresses that nobody has are counted alike.
- A person has one reset at most, the newest.
- No message and no table holds a token. It is made when notification is about to send the mail, and account keeps its
  hash. A mail that is sent again has another token; both are good, since mail systems may drop either copy.
- Of two who use one reset at the same time one has set the password.
- Locks are taken in the order of everybody: the person, then what is counted for their address.
"""

from uuid import UUID

from petpro_account import email_verifications, messages, store_requests, store_sessions
from petpro_account import store_resets as store
from petpro_account.contacts import address_hash, email_address
from petpro_account.domain import MAX_RESETS, RESET_LIFE, BadResetToken, PasswordResetNotFound
from petpro_account.store_requests import RESETS
from petpro_account.tokens import found_by, mailed_token, token_hash
from petpro_common.db import Transaction


async def ask(tx: Transaction, email: str) -> None:
    """Has a mail sent to the active person with this address, if there is one, unless too many were asked for."""
    try:
        user_id = await store_sessions.kept_person(tx, email_address(email))
    except ValueError:
        user_id = None
    asked = await store_requests.count(tx, RESETS, address_hash(email), RESET_LIFE)
    if asked.count <= MAX_RESETS and user_id:
        reset_id = await store.open_reset(tx, user_id)
        messages.tell_password_reset_requested(tx, user_id, reset_id)


async def make_token(tx: Transaction, reset_id: UUID) -> str:
    """A token for the mail of a reset. Raises PasswordResetNotFound when it is over or the account is closed."""
    token = mailed_token(reset_id)
    if not await store.add_token(tx, reset_id, token_hash(token)):
        raise PasswordResetNotFound
    return token


async def look_at(tx: Transaction, token: str) -> None:
    """Raises BadResetToken for a token that opens nothing. It comes first: a guess must not cost a password's hash."""
    if not await store.is_good(tx, _reset_of(token), token_hash(token)):
        raise BadResetToken


async def reset(tx: Transaction, token: str, new_hash: str) -> None:
    """Sets a password, ends all sessions, forgets wrong passwords for the address, which is verified by it: its mails
    are read. Raises BadResetToken."""
    found = await store.set_password(tx, _reset_of(token), token_hash(token), new_hash)
    if found is None:
        raise BadResetToken
    user_id, email = found
    store_sessions.revoke_sessions(tx, user_id)
    store_sessions.clear_failures(tx, address_hash(email))
    messages.tell_password_changed(tx, user_id)
    await email_verifications.has_read_a_mail(tx, user_id)


def _reset_of(token: str) -> UUID:
    """The reset that a token is of. Raises BadResetToken."""
    found = found_by(token)
    if found is None:
        raise BadResetToken
    return found
