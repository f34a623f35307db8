"""What people are told about, what may become of a delivery, and how long to wait between tries.

pending ──sent──────────> sent
   │  ╰──not wanted─────> suppressed     the person does not want it, or is gone; or it is out of date
   ├──try failed────────> pending        due again after a growing pause
   ╰──refused for good,
      or out of tries───> failed         an operator sees it in the metric
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from petpro_common.errors import NotFound, Overloaded

MAX_PAUSE_SECONDS = 3600.0
TITLE_LENGTH = 255
_INSTANTS = ("starts_at", "ends_at")
_HTTPS = re.compile(r"https://(?P<host>[a-z0-9.-]+(:[0-9]+)?)/")
_CAUSES_OF_DECLINE = frozenset({"CARD_DECLINED", "INSUFFICIENT_FUNDS", "PAYMENT_REFUSED"})


class NotificationNotFound(NotFound):
    """There is no such notification among yours."""

    reason = "NOTIFICATION_NOT_FOUND"


class DeviceNotFound(NotFound):
    """There is no such device among yours."""

    reason = "DEVICE_NOT_FOUND"


class TooManyStreams(Overloaded):
    """As many streams of yours are open as may be at once."""

    reason = "TOO_MANY_STREAMS"


class Type(StrEnum):
    """What a notification is about; its text is the template of the same name."""

    APPROVAL_REQUESTED = "approval_requested"
    BOOKING_CONFIRMED = "booking_confirmed"
    BOOKING_CANCELLED = "booking_cancelled"
    BOOKING_RESCHEDULED = "booking_rescheduled"
    BOOKING_COMPLETED = "booking_completed"
    BOOKING_NO_SHOW = "booking_no_show"
    BOOKING_REMINDER = "booking_reminder"
    CANCELLATION_REFUSED = "cancellation_refused"
    CHECKOUT_FAILED = "checkout_failed"
    EMAIL_VERIFICATION = "email_verification"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # the name of a template
    PASSWORD_RESET = "password_reset"  # noqa: S105  # the name of a template
    PAYMENT_DECLINED = "payment_declined"
    REFUND_DELAYED = "refund_delayed"
    REFUND_SETTLED = "refund_settled"
    RESERVATION_EXPIRED = "reservation_expired"


APPOINTMENTS = (Type.BOOKING_CONFIRMED, Type.BOOKING_RESCHEDULED)
"""The types whose facts say when and for what a booking is."""


MUST_BE_TOLD = (Type.EMAIL_VERIFICATION, Type.PASSWORD_CHANGED, Type.PASSWORD_RESET)
"""The types that go by mail whatever the person wants to hear, and by nothing else: that a password was changed a thief
must not be able to keep back, and the others were asked for, and are about the address."""


WITH_A_LINK = (Type.EMAIL_VERIFICATION, Type.PASSWORD_RESET)
"""The types whose mail holds a link with a token, which account makes for each try."""


OWN_WORDS = frozenset({"cancellation_reason"})
"""Facts in words that somebody chose, as people have their names, and clinics theirs and those of their services: they
go to no address of which nobody knows whose it is, or strangers could have any text sent to anybody."""


CANNOT_WAIT = (
    Type.BOOKING_CONFIRMED,
    Type.BOOKING_CANCELLED,
    Type.BOOKING_RESCHEDULED,
    Type.BOOKING_REMINDER,
    Type.CANCELLATION_REFUSED,
)
"""The types that go by SMS, each of which costs money: they say whether and when somebody is expected at a clinic. Who
pays is in the app, money takes days to arrive, and thanks can wait."""


class Channel(StrEnum):
    """A way to reach a person outside of the app."""

    EMAIL = "email"
    PUSH = "push"
    SMS = "sms"


NEWS_FOR = timedelta(hours=12)
"""How long a notification is worth a push or an SMS: longer than it is tried. A mail is read whenever it comes."""


class DeviceKind(StrEnum):
    """By what service pushes reach a device."""

    FCM = "fcm"
    WEB_PUSH = "web_push"


MOST_DEVICES = 10
"""Of one person; a token that an app has forgotten is not always given back."""


class Status(StrEnum):
    """Where a delivery stands; see the drawing above."""

    PENDING = "pending"
    SENT = "sent"
    SUPPRESSED = "suppressed"
    FAILED = "failed"


@dataclass(frozen=True)
class Sent:
    """It is taken: by the mail server, the SMS provider, or every device that can be reached."""


@dataclass(frozen=True)
class Suppressed:
    """It is not to be sent."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """It cannot be sent to this person, now or later."""

    reason: str


@dataclass(frozen=True)
class TryAgain:
    """What passes, such as a server that is away, or that refuses us and not the person.

    A server may say that it wants to hear nothing for so many seconds.
    """

    reason: str
    after_seconds: float = 0.0


Result: TypeAlias = Sent | Suppressed | Refused | TryAgain
"""What came of one try. Reasons are causes without personal data."""


@dataclass(frozen=True)
class Outcome:
    """Where one try leads to: a status, a cause without personal data, and the least that a next try waits."""

    status: Status
    reason: str | None = None
    after_seconds: float = 0.0


def goes_by(type_: Type, channel: Channel) -> bool:
    """Whether people are told of it by that channel, if they want to hear from us by it."""
    if channel is Channel.EMAIL:
        return True
    return type_ not in MUST_BE_TOLD and (channel is Channel.PUSH or type_ in CANNOT_WAIT)


def is_news(age: timedelta, channel: Channel) -> bool:
    """Whether what was told so long ago is still worth a message by that channel."""
    return channel is Channel.EMAIL or age < NEWS_FOR


def leads_to(endpoint: str, hosts: Collection[str]) -> bool:
    """Whether it is an https URL at one of these hosts, each with its port where it has one; `*.` stands for what may
    be before the rest of a name. Whatever could be read in two ways leads nowhere."""
    url = _HTTPS.match(endpoint.lower())
    return url is not None and any(
        url["host"] == host or (host.startswith("*.") and url["host"].endswith(host[1:])) for host in hosts
    )


def checkout_failure_type(reason: str) -> Type:
    """A decline can be mended by the customer while the hold lasts; other failures end the checkout."""
    return Type.PAYMENT_DECLINED if reason in _CAUSES_OF_DECLINE else Type.CHECKOUT_FAILED


def said_already_by(type_: Type, facts: Mapping[str, object]) -> tuple[Type, ...]:
    """The types that, told of the same reservation, have said this already: a checkout that ran out of time ends with
    its hold. Money that goes back is always told."""
    if type_ is Type.RESERVATION_EXPIRED:
        return (Type.CHECKOUT_FAILED,)
    if type_ is Type.CHECKOUT_FAILED and Decimal(str(facts.get("refund_amount", 0))) == 0:
        return (Type.RESERVATION_EXPIRED,)
    return ()


def pause_after(tries: int, first_pause_seconds: float) -> float:
    """The longest wait before the next try, in seconds: doubled with each, an hour at most."""
    return float(min(first_pause_seconds * 2 ** min(tries - 1, 30), MAX_PAUSE_SECONDS))


def outcome_of(result: Result, tries: int, max_tries: int) -> Outcome:
    """Where a try leads to; one that is to be made again leads to failure when it was the last."""
    match result:
        case Sent():
            return Outcome(Status.SENT)
        case Suppressed(reason):
            return Outcome(Status.SUPPRESSED, reason)
        case Refused(reason):
            return Outcome(Status.FAILED, reason)
        case TryAgain(reason, after_seconds):
            return Outcome(Status.FAILED if tries >= max_tries else Status.PENDING, reason, after_seconds)


def merged(earlier: Mapping[str, object], event: Mapping[str, object]) -> dict[str, object]:
    """What is known of a booking, the event's own word last; an absent (null) value overrides nothing.

    An event that tells a slot anew leaves nothing of the instants of the one before, though it may lack them: releases
    before told the local time alone.
    """
    said = {name: value for name, value in event.items() if value is not None}
    known = {name: value for name, value in earlier.items() if name not in _INSTANTS or "slot_date" not in said}
    return {**known, **said}
