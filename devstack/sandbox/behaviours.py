"""The test values of `payment_token`, as data: what the provider does with a payment and its refunds."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from devstack.sandbox.errors import InvalidRequest
from devstack.sandbox.settings import Timings


class Taking(Enum):
    """How the money of a payment comes in."""

    AT_ONCE = auto()
    AFTER_A_WHILE = auto()
    WHEN_THE_CUSTOMER_ACTS = auto()
    NEVER = auto()


class Telling(Enum):
    """How webhooks of a payment and its refunds go out."""

    ONCE = auto()
    TWICE = auto()
    LATE = auto()
    OUT_OF_ORDER = auto()
    NEVER = auto()


class Returning(Enum):
    """What becomes of a refund."""

    SUCCEEDS = auto()
    SUCCEEDS_AT_ONCE = auto()
    SUCCEEDS_SLOWLY = auto()
    STAYS_PENDING = auto()
    FAILS_LATER = auto()
    REFUSED = auto()


@dataclass(frozen=True)
class Behaviour:
    """One test value. What is not said is as in a payment that simply works."""

    taking: Taking = Taking.AT_ONCE
    telling: Telling = Telling.ONCE
    returning: Returning = Returning.SUCCEEDS
    failure: str = ""
    """Why the payment is declined: a key of `FAILURES`."""
    payment_answer_lost: bool = False
    """The payment is made, and the connection closed without an answer."""
    refund_answer_lost: bool = False
    fails_first_call: bool = False
    """The first call under each idempotency key gets a 500 and does nothing."""


BEHAVIOURS = {
    "tok_success": Behaviour(),
    "tok_declined": Behaviour(taking=Taking.NEVER, failure="card_declined"),
    "tok_insufficient_funds": Behaviour(taking=Taking.NEVER, failure="insufficient_funds"),
    "tok_processing": Behaviour(taking=Taking.AFTER_A_WHILE),
    "tok_requires_action": Behaviour(taking=Taking.WHEN_THE_CUSTOMER_ACTS),
    "tok_timeout_then_success": Behaviour(payment_answer_lost=True),
    "tok_error_500_once": Behaviour(fails_first_call=True),
    "tok_webhook_twice": Behaviour(telling=Telling.TWICE),
    "tok_webhook_late": Behaviour(telling=Telling.LATE),
    "tok_webhook_out_of_order": Behaviour(telling=Telling.OUT_OF_ORDER),
    "tok_webhook_never": Behaviour(telling=Telling.NEVER),
    "tok_refund_refused": Behaviour(returning=Returning.REFUSED),
    "tok_refund_pending": Behaviour(returning=Returning.STAYS_PENDING),
    "tok_refund_at_once": Behaviour(returning=Returning.SUCCEEDS_AT_ONCE),
    "tok_refund_slow": Behaviour(returning=Returning.SUCCEEDS_SLOWLY),
    "tok_refund_timeout": Behaviour(refund_answer_lost=True),
    "tok_refund_fails_later": Behaviour(returning=Returning.FAILS_LATER),
}

FAILURES = {
    "card_declined": "The customer's bank declined the payment.",
    "insufficient_funds": "The customer's account does not hold enough.",
}

_TOKEN = re.compile(r"(?P<name>[a-z0-9_]+)(?::(?P<delay>\d{1,4}(?:\.\d{1,3})?))?")


@dataclass(frozen=True)
class Plan:
    """A test value with its own delay (seconds), which then stands in for every default delay but retries."""

    token: str
    delay: float | None

    @property
    def behaviour(self) -> Behaviour:
        return BEHAVIOURS[self.token]

    def settling(self, timings: Timings) -> float:
        """Seconds from accepted to settled, for a payment and for an ordinary refund."""
        return timings.settle if self.delay is None else self.delay

    def refund_settling(self, timings: Timings) -> float | None:
        """Seconds from an accepted refund to its end; None when no time brings that."""
        match self.behaviour.returning:
            case Returning.STAYS_PENDING | Returning.SUCCEEDS_AT_ONCE:
                return None
            case Returning.SUCCEEDS_SLOWLY:
                return timings.slow if self.delay is None else self.delay
            case _:
                return self.settling(timings)

    def webhook_delays(self, timings: Timings, *, final: bool) -> tuple[float, ...]:
        """Seconds until each copy of an event leaves; `final` says whether the object has reached its end."""
        late = timings.late if self.delay is None else self.delay
        match self.behaviour.telling:
            case Telling.ONCE:
                return (0.0,)
            case Telling.TWICE:
                return (0.0, self.settling(timings))
            case Telling.LATE:
                return (late,)
            case Telling.OUT_OF_ORDER:
                return (0.0,) if final else (late,)
            case Telling.NEVER:
                return ()


def plan(payment_token: str, payment_method: str) -> Plan:
    """The plan for a payment. Without a token a card is refused; other methods wait for the customer."""
    if not payment_token and payment_method != "card":
        return Plan("tok_requires_action", None)
    match = _TOKEN.fullmatch(payment_token)
    if match is None or match["name"] not in BEHAVIOURS:
        raise InvalidRequest("payment_token_invalid", "No such payment token.", param="payment_token")
    return Plan(match["name"], float(match["delay"]) if match["delay"] else None)
