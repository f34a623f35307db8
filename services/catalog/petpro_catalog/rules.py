"""What clinics, services and staff must be like. Each check raises InvalidRequest with everything that is wrong."""

import re
from collections.abc import Iterator
from decimal import Decimal

from petpro_catalog import exceptional_days, hours, policy
from petpro_catalog.domain import ClinicDetails, Opinion, ServiceDetails, StaffDetails
from petpro_common import texts, zones
from petpro_common.errors import FieldViolation, InvalidRequest, invalid
from petpro_common.money import CURRENCIES, Money

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()-]{3,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_PROSE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PROSE = frozenset({"address", "description", "comment"})
"""What may have several lines; everything else is one."""
_LINK = re.compile(r"https?://[^\s/]+\S*")
_ATTACHMENT = re.compile(r"https://[^\s/?#@\[\]\\]+([/?#]\S*)?", re.ASCII)
_ENTRY_LENGTH = 100
_TURNS = "must not hold characters that turn around what is shown"
_DURATION = range(1, 1441)
_NO_PLACE = "Factory"
"""What IANA has for machines whose zone nobody has set."""


def check_clinic(clinic: ClinicDetails) -> None:
    """A clinic can be found, reached and trusted with local times."""
    _refuse(
        *_texts("clinic", clinic),
        *_missing("clinic", clinic, "name", "address", "city", "province", "postal_code", "phone_number", "email"),
        *_contact("clinic.email", clinic.email, "clinic.phone_number", clinic.phone_number),
        *_link("clinic.website", clinic.website),
        *_place(clinic.latitude, clinic.longitude),
        *hours.violations("clinic.operating_hours", clinic.operating_hours),
        *_entries("clinic.", "facilities", clinic.facilities),
        *policy.violations("clinic.cancellation_policy", clinic.cancellation_policy),
        *_zone(clinic.timezone),
    )


def check_service(service: ServiceDetails) -> None:
    """A service has a name, takes from one minute to a day, keeps the rules of policies where it has its own, and names
    each exceptional day once.

    Its price was checked when it was read, and its currency is by `check_currency`.
    """
    found = [*_texts("service", service), *_missing("service", service, "name")]
    if service.duration_minutes not in _DURATION:
        found.append(FieldViolation("service.duration_minutes", "must be from 1 to 1440"))
    if service.cancellation_policy:
        found.extend(policy.violations("service.cancellation_policy", service.cancellation_policy))
    found.extend(exceptional_days.violations("service.availability_exceptions", service.availability_exceptions))
    reasons = "".join(day.reason for day in service.availability_exceptions)
    found.extend(_control("service.", "availability_exceptions", reasons))
    _refuse(*found)


def check_currency(price: Money) -> None:
    """Prices are named in what people pay with, and what we carry to the last digit. Raises InvalidRequest."""
    if price.currency not in CURRENCIES:
        wrong = f"{price.currency} is no currency of ISO 4217 that people pay with and that has two digits or none"
        raise invalid("service.price.currency_code", wrong)


def check_staff(staff: StaffDetails) -> None:
    """A member of staff has a name, a role and an address."""
    _refuse(
        *_texts("staff", staff),
        *_missing("staff", staff, "name", "role", "email"),
        *_contact("staff.email", staff.email, "staff.phone", staff.phone),
        *_link("staff.photo_url", staff.photo_url),
        *hours.violations("staff.working_hours", staff.working_hours or {}),
        *_entries("staff.", "qualifications", staff.qualifications),
    )


def check_opinion(opinion: Opinion) -> None:
    """A review can be shown, and names pictures alone that apps may open."""
    attachments = opinion.attachments
    wrong = [one for one in attachments if not (one.isascii() and one.isprintable() and _ATTACHMENT.fullmatch(one))]
    _refuse(
        *_control("", "comment", opinion.comment),
        *(FieldViolation("attachments", "must be https addresses, in ASCII") for _ in wrong[:1]),
    )


def _refuse(*found: FieldViolation) -> None:
    if found:
        raise InvalidRequest(*found)


def check_text(field: str, value: str) -> None:
    """Text can be stored, shown and searched for. Raises InvalidRequest, naming `field`."""
    _refuse(*_control("", field, value))


def _texts(prefix: str, details: object) -> Iterator[FieldViolation]:
    for name, value in vars(details).items():
        if isinstance(value, str):
            yield from _control(f"{prefix}.", name, value)
            if name not in _PROSE and texts.turns(value):
                yield FieldViolation(f"{prefix}.{name}", _TURNS)


def _control(prefix: str, name: str, value: str) -> Iterator[FieldViolation]:
    if (_CONTROL_IN_PROSE if name in _PROSE else _CONTROL).search(value):
        yield FieldViolation(f"{prefix}{name}", "must not hold control characters")


def _missing(prefix: str, details: object, *names: str) -> Iterator[FieldViolation]:
    for name in names:
        if not texts.is_seen(getattr(details, name)):
            yield FieldViolation(f"{prefix}.{name}", "is required, with something to see")


def _contact(email_field: str, email: str, phone_field: str, phone: str) -> Iterator[FieldViolation]:
    if email and not _EMAIL.fullmatch(email):
        yield FieldViolation(email_field, "must be an e-mail address")
    if phone and not _PHONE.fullmatch(phone):
        yield FieldViolation(phone_field, "must be a phone number, for example +62 21 555 0123")


def _link(field: str, link: str) -> Iterator[FieldViolation]:
    if link and not _LINK.fullmatch(link):
        yield FieldViolation(field, "must be an http or https address")


def _place(latitude: Decimal | None, longitude: Decimal | None) -> Iterator[FieldViolation]:
    if (latitude is None) != (longitude is None):
        yield FieldViolation("clinic.latitude", "latitude and longitude come together")


def _entries(prefix: str, name: str, entries: tuple[str, ...]) -> Iterator[FieldViolation]:
    if any(len(entry) > _ENTRY_LENGTH or not texts.is_seen(entry) for entry in entries):
        yield FieldViolation(
            f"{prefix}{name}", f"each must have 1 to {_ENTRY_LENGTH} characters, with something to see"
        )
    if any(map(texts.turns, entries)):
        yield FieldViolation(f"{prefix}{name}", _TURNS)
    yield from _control(prefix, name, "".join(entries))


def _zone(name: str) -> Iterator[FieldViolation]:
    if name not in zones.names() or name == _NO_PLACE:
        yield FieldViolation("clinic.timezone", "must be an IANA time zone, for example Asia/Makassar")
