"""What a provider says it took and gave back, as it tells it afterwards; against it our own rows are held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from petpro_common.money import Money


class Kind(StrEnum):
    """Which way money moved."""

    CAPTURE = "capture"
    REFUND = "refund"


class State(StrEnum):
    """How far it is. A capture that is told of is done."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Movement:
    """Money that a provider took, or gives back."""

    kind: Kind
    reference: str
    """Our id as the provider carries it; empty where it carries none."""
    external_reference: str
    """The provider's own name for it."""
    state: State
    money: Money | None
    """None where the provider does not tell, or tells of a currency that we never take there."""
    at: datetime | None
    """When it was taken, or the refund made; None where the provider does not tell."""


@dataclass(frozen=True)
class Span:
    """What is asked of a list: one kind, at or after `since` and before `until`, at most `size` to a page."""

    kind: Kind
    since: datetime
    until: datetime
    size: int
    after: str = ""
    """Where the page before ended."""


@dataclass(frozen=True)
class Page:
    """Some of a list. It may hold a little from outside the span, and goes on after `end` unless that is empty."""

    movements: Sequence[Movement]
    end: str


STATES = {
    "pending": State.PENDING,
    "succeeded": State.DONE,
    "success": State.DONE,
    "failed": State.FAILED,
    "canceled": State.FAILED,
    "reversed": State.FAILED,
    "voided": State.FAILED,
}
"""By the words for a refund that the providers have between them, in lower case. Any other is on its way."""
