"""What people are told about, what may become of a delivery, and how long to wait between tries.

pending ──sent──────────> sent
   │  ╰──not wanted─────> suppressed     the person does not want it, or is gone; or it is out of date
   ├──try failed────────> pending        due again after a growing pause
   ╰──refused for good,
      or out of tries───> failed         an operator sees it in the metric
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from petpro_common.errors import NotFound, Overloaded

MAX_PAUSE_SECONDS = 3600.0
TITLE_LENGTH = 255
_CAUSES_OF_DECLINE = frozenset({"CARD_DECLINED", "INSUFFICIENT_FUNDS", "PAYMENT_REFUSED"})


class NotificationNotFound(NotFound):
    """There is no such notification among yours."""

    reason = "NOTIFICATION_NOT_FOUND"


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
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # the name of a template
    PASSWORD_RESET = "password_reset"  # noqa: S105  # the name of a template
    PAYMENT_DECLINED = "payment_declined"
    REFUND_DELAYED = "refund_delayed"
    REFUND_SETTLED = "refund_settled"
    RESERVATION_EXPIRED = "reservation_expired"


APPOINTMENTS = (Type.BOOKING_CONFIRMED, Type.BOOKING_RESCHEDULED)
"""The types whose facts say when and for what a booking is."""


MUST_BE_TOLD = (Type.PASSWORD_CHANGED, Type.PASSWORD_RESET)
"""The types that go by mail whatever the person wants to hear: a thief must not be able to keep the one back, and the
other was asked for."""


class Channel(StrEnum):
    """A way to reach a person outside of the app."""

    EMAIL = "email"
    PUSH = "push"
    SMS = "sms"


DELIVERED_BY = (Channel.EMAIL,)
"""The channels that have a sender; a delivery is written for each of these."""


class Status(StrEnum):
    """Where a delivery stands; see the drawing above."""

    PENDING = "pending"
    SENT = "sent"
    SUPPRESSED = "suppressed"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What came of one try: the status it leads to, and a cause without personal data."""

    status: Status
    reason: str | None = None


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


def after_failed_try(tries: int, max_tries: int, reason: str) -> Outcome:
    """Another try follows, or this was the last."""
    return Outcome(Status.FAILED if tries >= max_tries else Status.PENDING, reason)


def merged(earlier: Mapping[str, object], event: Mapping[str, object]) -> dict[str, object]:
    """What is known of a booking, the event's own word last; an absent (null) value overrides nothing."""
    return {**earlier, **{name: value for name, value in event.items() if value is not None}}
