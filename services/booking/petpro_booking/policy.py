"""What a customer gets back on cancelling or not coming, by the policy that was in force when the seat was held.

A policy is a list of tiers: at least `min_hours_before` the start, `refund_percent` of the price. The tier with the
most hours that is met counts; when none is met nothing goes back. An instant exactly on a tier's boundary meets it,
and a microsecond later does not.

A move by the customer never improves this: what would have come back at the instant of the move is from then on the
most that does (`ceiling`, in percent). Else a late cancellation would be free by way of a move into the far future.

Who does not come pays `no_show_fee_percent` of the price, all of it where the policy tells no fee, and gets the rest
back. That is never more than the ceiling either: whoever moved late does not gain by staying away.

A service's own policy holds instead of its clinic's, and names it as `service_id`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from petpro_common.money import Money

FULL = Decimal(100)


@dataclass(frozen=True)
class Quote:
    """What cancelling would give back: `refund`, as long as it is not after `valid_until`; and what not coming."""

    price: Money
    refund: Money
    percent: Decimal
    valid_until: datetime | None
    policy_version: int
    is_of_service: bool
    no_show_refund: Money


def of_service(service_id: UUID, own: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A service's own policy, with whose it is; None when it has none."""
    return None if own is None else {**own, "service_id": str(service_id)}


def refund_percent(policy: Mapping[str, Any], starts_at: datetime, now: datetime, ceiling: int = 100) -> Decimal:
    """Percent of the price, 0 to 100, that goes back to a customer who cancels at `now`."""
    for min_hours, percent in _tiers(policy):
        if starts_at - now >= min_hours:
            return Decimal(min(percent, ceiling))
    return Decimal(0)


def refund_of(price: Money, policy: Mapping[str, Any], starts_at: datetime, now: datetime, ceiling: int = 100) -> Money:
    """What goes back, rounded half to even to the currency's minor unit."""
    return price.share(refund_percent(policy, starts_at, now, ceiling))


def no_show_refund(price: Money, policy: Mapping[str, Any], ceiling: int = 100) -> Money:
    """What goes back to a customer who does not come, rounded half to even; the rest of the price is the fee."""
    left = FULL - int(policy.get("no_show_fee_percent", FULL))
    return price.share(min(left, Decimal(ceiling)))


def holds_until(policy: Mapping[str, Any], starts_at: datetime, now: datetime, ceiling: int = 100) -> datetime | None:
    """The last instant at which as much goes back as at `now`; None when it never becomes less."""
    percent = refund_percent(policy, starts_at, now, ceiling)
    ends = [starts_at - min_hours for min_hours, given in _tiers(policy) if min(given, ceiling) >= percent]
    return max(ends, default=None) if percent else None


def _tiers(policy: Mapping[str, Any]) -> list[tuple[timedelta, int]]:
    """From most hours to fewest, each with its percent."""
    tiers: Sequence[Mapping[str, Any]] = policy.get("tiers", [])
    read = [(timedelta(hours=int(tier["min_hours_before"])), int(tier["refund_percent"])) for tier in tiers]
    return sorted(read, reverse=True)
