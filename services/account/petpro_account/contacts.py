"""E-mail addresses and phone numbers in their one canonical form."""

import hashlib

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from petpro_account.domain import text

_HOME_REGION = "ID"
_PHONE_LIMIT = 20


def email_address(value: str) -> str:
    """The address with its domain in lower case, composed and decoded. Raises ValueError with what is wrong."""
    try:
        return validate_email(value.strip(), check_deliverability=False).normalized
    except EmailNotValidError as fault:
        raise ValueError(str(fault)) from None


def address_hash(value: str) -> bytes:
    """The same 32 bytes for all spellings of an address, and for what is no address some of its own."""
    try:
        canonical = email_address(value)
    except ValueError:
        canonical = value
    return hashlib.sha256(_lower(canonical).encode()).digest()


def _lower(value: str) -> str:
    """As the database lowers it, each character by itself: two spellings of one account are one here."""
    return "".join(character.lower()[0] for character in value)


def phone_number(value: str) -> str:
    """E.164; a number without country code is an Indonesian one. Raises ValueError for numbers that cannot be."""
    try:
        found = phonenumbers.parse(text(value, _PHONE_LIMIT), _HOME_REGION)
    except phonenumbers.NumberParseException:
        raise ValueError("must be a phone number such as +628123456789") from None
    if not phonenumbers.is_valid_number(found):
        raise ValueError("must be a phone number that exists, such as +628123456789")
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
