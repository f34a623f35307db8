"""The rules of accounts: who may be what, what is refused and why, and for how long things hold."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from petpro_common import texts
from petpro_common.context import Role
from petpro_common.errors import AlreadyExists, NotFound, Overloaded, Unauthenticated, WrongState

ACCESS_TOKEN_LIFE = timedelta(minutes=15)
REFRESH_TOKEN_LIFE = timedelta(days=30)
REFRESH_AGAIN = timedelta(minutes=1)
"""For so long who lost the answer to a refresh gets it again."""
MAX_FAILURES = 10
FAILURE_WINDOW = timedelta(minutes=15)
RESET_LIFE = timedelta(minutes=30)
MAX_RESETS = 5
"""How many mails to one address are sent within RESET_LIFE: the last of them is good until there may be another."""
RESET_ANSWER_SECONDS = 0.25
"""A question for a new password is answered a multiple of this after it: far longer than what is done in between."""
VERIFICATION_LIFE = timedelta(days=1)
MAX_VERIFICATIONS = 5
"""How many mails to one address are sent within VERIFICATION_LIFE, for the reason of MAX_RESETS."""
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
_HTTPS = re.compile(r"https://[^\s/?#@\[\]\\]+([/?#]\S*)?")
_PHOTO_URL_LIMIT = 255
_OLDEST_BIRTHDATE = date(1900, 1, 1)


class EmailTaken(AlreadyExists):
    """The e-mail address belongs to another account."""

    reason = "EMAIL_TAKEN"


class BadCredentials(Unauthenticated):
    """E-mail or password is wrong."""

    reason = "BAD_CREDENTIALS"


class BadRefreshToken(Unauthenticated):
    """The refresh token is unknown, used or out of date; sign in again."""

    reason = "BAD_REFRESH_TOKEN"


class TooManySignIns(Overloaded):
    """Too many sign-ins to this address failed; try again later."""

    reason = "TOO_MANY_SIGN_INS"

    def __init__(self, wait: timedelta) -> None:
        super().__init__()
        self.retry_after = wait


class BadResetToken(Unauthenticated):
    """The link is not good, was used, or is too old; ask for a new one."""

    reason = "BAD_RESET_TOKEN"


class PasswordResetNotFound(NotFound):
    """The password reset is over, or never was."""

    reason = "PASSWORD_RESET_NOT_FOUND"


class BadVerificationToken(Unauthenticated):
    """The link is not good, was used, or is too old; ask for a new one unless the address is verified."""

    reason = "BAD_VERIFICATION_TOKEN"


class EmailVerificationNotFound(NotFound):
    """The verification of the address is over, or never was."""

    reason = "EMAIL_VERIFICATION_NOT_FOUND"


class TooManyVerificationMails(Overloaded):
    """Too many mails went to this address; look for the newest, or ask again later."""

    reason = "TOO_MANY_VERIFICATION_MAILS"

    def __init__(self, wait: timedelta) -> None:
        super().__init__()
        self.retry_after = wait


class UserNotFound(NotFound):
    """No such person."""

    reason = "USER_NOT_FOUND"


class OwnAccount(WrongState):
    """An administrator can neither suspend themselves nor change their own role."""

    reason = "OWN_ACCOUNT"


class NotACustomer(WrongState):
    """Customers alone can be erased; an administrator makes anybody else one first."""

    reason = "NOT_A_CUSTOMER"


class PetNotFound(NotFound):
    """No such pet."""

    reason = "PET_NOT_FOUND"


@dataclass(frozen=True)
class User:
    """A person, without the password."""

    id: UUID
    email: str
    full_name: str
    phone_number: str
    notification_prefs: dict[str, bool]
    role: Role
    account_status: str
    verification_status: str
    created_at: datetime
    updated_at: datetime
    version: int


def anonymous(user: User) -> User:
    """What is left of a person who is erased. Nobody can register an address of the domain `invalid` (RFC 2606)."""
    return replace(
        user,
        email=f"{user.id}@erased.invalid",
        full_name="Erased",
        phone_number="",
        notification_prefs=dict.fromkeys(user.notification_prefs, False),
        account_status="erased",
        verification_status="unverified",
    )


@dataclass(frozen=True)
class Pet:
    """A pet of a person. `weight` is in kilograms; `medical_history` is empty in lists."""

    id: UUID
    user_id: UUID
    name: str
    species: str
    breed: str | None
    birthdate: date | None
    weight: Decimal | None
    gender: str | None
    photo_url: str | None
    microchip_id: str | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    version: int
    medical_history: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failures:
    """How often sign-in to one address failed in the present window, and when that window ends."""

    count: int = 0
    remaining: timedelta = timedelta()

    def refuse_at(self, limit: int) -> None:
        """Raises TooManySignIns when `limit` is reached."""
        if self.count >= limit:
            raise TooManySignIns(self.remaining)


def text(value: str, limit: int) -> str:
    """`value` in Unicode's composed form, without space around it.

    Raises ValueError for control characters, what ends a line or turns it around, and above `limit` characters:
    composing may make more of them.
    """
    found = unicodedata.normalize("NFC", value).strip()
    if len(found) > limit:
        raise ValueError(f"must be at most {limit} characters")
    if any(unicodedata.category(character) in _CONTROLS for character in found):
        raise ValueError("must not hold control characters")
    if texts.turns(found):
        raise ValueError("must not hold characters that turn around what is shown")
    return found


def filled(value: str, limit: int) -> str:
    """`text`, and something of it to see. Raises ValueError when there is nothing."""
    found = text(value, limit)
    if not texts.is_seen(found):
        raise ValueError("must not be empty")
    return found


def birthdate(value: str, now: datetime) -> date | None:
    """An ISO date, None when empty. Raises ValueError for no date, and for one that is nowhere on earth yet."""
    if not value:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date such as 2021-03-14") from None
    if not _OLDEST_BIRTHDATE <= found <= (now.astimezone(UTC) + timedelta(hours=14)).date():
        raise ValueError("must be between 1900 and today")
    return found


def weight(value: str) -> Decimal | None:
    """Kilograms, None when empty; the contract has seen to the digits. Raises ValueError unless more than 0."""
    if not value:
        return None
    found = Decimal(value)
    if found <= 0:
        raise ValueError("must be more than 0")
    return found


def photo_url(value: str) -> str | None:
    """An https address, None when empty. Raises ValueError for anything else: apps will open it."""
    found = text(value, _PHOTO_URL_LIMIT)
    if not found:
        return None
    if not _HTTPS.fullmatch(found):
        raise ValueError("must be an https address")
    return found
