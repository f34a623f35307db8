"""What this process is to ask providers about, claimed as it is ordered, on its way to the worker that runs here.

To claim it after the commit would be a transaction of its own, and a reading back of what has just been known. All of
it is claimed for the first time: nobody was asked about it before. What the worker does not begin, since it came too
late or the process stops, is given back; what is lost with the process is due after its lease, as all that is claimed.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from uuid import UUID
from weakref import WeakKeyDictionary

from opentelemetry.trace import SpanKind

from petpro_common import telemetry
from petpro_common.db import Transaction
from petpro_payment.domain import Payment, Refund

LONGEST_ASKING = 0.8
"""The part of a lease for which a provider may be asked."""

_SPANS_OF_ONE = 10


@dataclass(frozen=True)
class Errand:
    """A refund that is to be asked about, and the payment that it gives back."""

    refund: Refund
    payment: Payment


Item: TypeAlias = Payment | Errand


def call_of(item: Item) -> tuple[str, str]:
    """The method and the id of the call by which the worker asks about it."""
    return ("worker payment", str(item.id)) if isinstance(item, Payment) else ("worker refund", str(item.refund.id))


def booking_of(item: Item) -> UUID:
    """The booking that is paid, or paid back."""
    return item.booking_id if isinstance(item, Payment) else item.refund.booking_id


def traced(name: str, item: Item) -> AbstractContextManager[None]:
    """The trace in which it was ordered. What takes long is looked at often: only the first looks have a span."""
    asked = item if isinstance(item, Payment) else item.refund
    trace = {"traceparent": asked.trace} if asked.trace else {}
    if asked.attempts > _SPANS_OF_ONE:
        return telemetry.within_trace(trace)
    return telemetry.span(name, trace, SpanKind.INTERNAL)


class Errands:
    """Between those who take orders on and the worker, which says how much `room` it has."""

    def __init__(self, lease_seconds: float = 0.0) -> None:
        self.lease_seconds = lease_seconds
        self._handed_over: deque[tuple[Item, float]] = deque()  # and until when the provider may first be asked
        self._late: list[Item] = []
        self._claimed_by: WeakKeyDictionary[Transaction, int] = WeakKeyDictionary()
        self._free: Callable[[], int] | None = None
        self._wake: Callable[[], None] = lambda: None

    def serve(self, free: Callable[[], int], wake: Callable[[], None]) -> None:
        """A worker takes what is handed over: as many at once as are `free`. It is woken for each."""
        self._free, self._wake = free, wake

    def close(self) -> None:
        """No more is taken: what is on its way and is not begun now is `left`."""
        self._free = None

    @property
    def room(self) -> int:
        """How many may be claimed as they are written; none where no worker runs."""
        return max(self._free() - len(self._handed_over), 0) if self._free else 0

    def room_for(self, tx: Transaction) -> int:
        """How many more `tx` may claim; what it has claimed before takes its room already."""
        return max(self.room - self._claimed_by.get(tx, 0), 0)

    def hand_over(self, tx: Transaction, claimed: Sequence[Item]) -> None:
        """Has items asked about after the commit that `tx` has written as claimed, for `lease_seconds` from now on."""
        if claimed:
            self._claimed_by[tx] = self._claimed_by.get(tx, 0) + len(claimed)
            until = time.monotonic() + self.lease_seconds * (1 - LONGEST_ASKING)
            tx.after_commit(partial(self._take, [(item, until) for item in claimed]))

    def _take(self, claimed: Sequence[tuple[Item, float]]) -> None:
        self._handed_over += claimed
        self._wake()

    def in_time(self, most: int) -> Iterator[Item]:
        """Up to so many. What another might claim before the provider has answered is `left`."""
        while most and self._handed_over:
            item, until = self._handed_over.popleft()
            if time.monotonic() < until:
                most -= 1
                yield item
            else:
                self._late.append(item)

    def left(self) -> list[Item]:
        """What was claimed here and will not be begun: what came too late, and all else once this is closed. Once."""
        left, self._late = self._late, []
        if self._free is None:
            left += [item for item, _ in self._handed_over]
            self._handed_over.clear()
        return left

    @property
    def are_waiting(self) -> bool:
        """Whether something was handed over that was not taken yet."""
        return bool(self._handed_over)
