"""What is new since the last look at the notifications, so that nobody misses one and nobody gets one twice.

Transactions commit in another order than they begin, so neither ids nor times say what has been seen. PostgreSQL
numbers transactions as they begin to write, and tells at each look the lowest number that is still at work, the
horizon: below it all is decided, and what a look has not found there will never be. So each look begins at the horizon
of the one before, and what is found again, it has seen.

    number   ..... 41  42  43  44  45 .....
    look 1          ✓   ✓   -   ✓            horizon 43: at work, the next look begins here
    look 2                  ✓   ·   ✓        43 is late and new, 44 is known, 45 is new
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

SLACK = 1000
"""Numbers that are looked at again below the horizon: a standby that takes over never heard of the last ones that
brought nothing, and gives them once more."""


class NotificationRow(Protocol):
    """A notification, and the number of the transaction that it was told in."""

    @property
    def id(self) -> UUID: ...
    @property
    def told_in(self) -> int: ...


Row = TypeVar("Row", bound=NotificationRow)


@dataclass(frozen=True)
class Place:
    """How far one has followed: where the next look begins, and what it will find that is known."""

    begins: int
    known: Mapping[UUID, int]


def beginning(horizon: int) -> Place:
    """The place of one who knows nothing yet."""
    return Place(max(horizon - SLACK, 0), {})


def follow(place: Place, found: Sequence[Row], horizon: int) -> tuple[Place, list[Row]]:
    """Goes on to after a look that began at `place` and found these: the new place, and what is new of them.

    `horizon`: of the look, or of an earlier moment.
    """
    begins = max(place.begins, horizon - SLACK)
    known = {**place.known, **{row.id: row.told_in for row in found}}
    new = [row for row in found if row.id not in place.known]
    return Place(begins, {id_: number for id_, number in known.items() if number >= begins}), new
