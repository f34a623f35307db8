"""Whose an address is: who has used a link that was mailed there reads its mails, and has it.

    unverified ──sign up, or ask──> a mail with a link, good for a day ──used──> verified
        ^                              ╰─ asked again, a day over ─> gone            │
        ╰──────────────────── address changed, person erased ────────────────────────╯

- A person has one verification at most, the newest, and it is of the address that they have: another address ends it,
  and their status with it, by a trigger of the database.
- No message and no table holds a token; it is made and kept as that of a forgotten password (`password_resets`).
- The link may be opened anywhere, by who is not signed in. It opens nothing: it says that the address is right.
- Who sets a forgotten password by a link has read a mail too, and is verified.
- Of two who use one verification at the same time one has done it; the other hears what all hear who come late.
- Five mails in a day go to one address, whoever signs up with it, is erased, and signs up again.
- Locks are taken in the order of everybody: the person, then what is counted for their address.
"""

from uuid import UUID

from petpro_account import messages, store_requests
from petpro_account import store_verifications as store
from petpro_account.contacts import address_hash
from petpro_account.domain import (
    MAX_VERIFICATIONS,
    VERIFICATION_LIFE,
    BadVerificationToken,
    EmailVerificationNotFound,
    TooManyVerificationMails,
    User,
    UserNotFound,
)
from petpro_account.store_requests import VERIFICATIONS, Requests
from petpro_account.tokens import found_by, mailed_token, token_hash
from petpro_common.db import Transaction


async def begin(tx: Transaction, user: User) -> None:
    """Has a first mail sent to who has just registered, unless too many went to the address."""
    if (await _count(tx, user)).count <= MAX_VERIFICATIONS:
        await _send(tx, user)


async def ask(tx: Transaction, user_id: UUID) -> User:
    """Has a mail sent to a person who is not verified; the person.

    Raises UserNotFound for an account that is closed, and TooManyVerificationMails.
    """
    user = await store.held_user(tx, user_id)
    if user is None:
        raise UserNotFound
    if user.verification_status == "verified":
        return user
    if (asked := await _count(tx, user)).count > MAX_VERIFICATIONS:
        raise TooManyVerificationMails(asked.remaining)
    await _send(tx, user)
    return user


async def make_token(tx: Transaction, verification_id: UUID) -> str:
    """A token for the mail of a verification. Raises EmailVerificationNotFound when it is over or the account is
    closed."""
    token = mailed_token(verification_id)
    if not await store.add_token(tx, verification_id, token_hash(token)):
        raise EmailVerificationNotFound
    return token


async def verify(tx: Transaction, token: str) -> None:
    """Verifies the address that the token was mailed to. Raises BadVerificationToken."""
    verification_id = found_by(token)
    user = await store.verify(tx, verification_id, token_hash(token)) if verification_id else None
    if user is None:
        raise BadVerificationToken
    messages.tell_user_changed(tx, user)


async def has_read_a_mail(tx: Transaction, user_id: UUID) -> None:
    """Verifies the address of a person who has used the link of another mail; the caller holds their row."""
    if user := await store.mark_verified(tx, user_id):
        messages.tell_user_changed(tx, user)


async def _count(tx: Transaction, user: User) -> Requests:
    return await store_requests.count(tx, VERIFICATIONS, address_hash(user.email), VERIFICATION_LIFE)


async def _send(tx: Transaction, user: User) -> None:
    verification_id = await store.open_verification(tx, user.id)
    messages.tell_email_verification_requested(tx, user.id, verification_id)
