"""What a customer gets back on cancelling or not coming, by the policy that was in force when the seat was held.

A policy is a list of tiers: at least `min_hours_before` the start, `refund_percent` of the price. The tier with the
most hours that is met counts; when none is met nothing goes back. An instant exactly on a tier's boundary meets it,
and a microsecond later does not.

A move by the customer never improves this: what would have come back at the instant of the move is from then on the
most that does (`Bounds.ceiling`). Else a late cancellation would be free by way of a move into the far future.

Nobody else's act or delay makes it less (`Bounds.floor`): what would have come back when the clinic moved the booking,
when a government did by its clock, or when one was asked for that the clinic approved late, or was frozen by a
cancellation that was refused later, is the least that does until the customer moves the booking.

Who does not come pays `no_show_fee_percent` of the price, all of it where the policy tells no fee, and gets the rest
back, within the same bounds: whoever moved late does not gain by staying away.

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
class Bounds:
    """Between how many percent of the price and how many goes back, whatever the policy says."""

    floor: int = 0
    ceiling: int = 100

    def keep(self, percent: int) -> int:
        """The percentage within the bounds; at least the floor where that is above the ceiling."""
        return max(self.floor, min(percent, self.ceiling))


UNBOUND = Bounds()


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


def bounds_of(booking: Any) -> Bounds:
    """Those of a booking's row."""
    return Bounds(booking.refund_floor, booking.refund_ceiling)


def bounds_after_move(booking: Any, *, by_clinic: bool) -> Bounds:
    """Those that a move at this instant leaves: by a clinic no less goes back after it, by the customer no more."""
    percent = int(refund_percent(*terms_of(booking)))
    return Bounds(percent, booking.refund_ceiling) if by_clinic else Bounds(0, percent)


def terms_of(booking: Any) -> tuple[Mapping[str, Any], datetime, datetime, Bounds]:
    """What decides on a refund, of a booking's row with `now`."""
    return booking.cancellation_policy, booking.starts_at, booking.now, bounds_of(booking)


def percent_of_hold(reservation: Any) -> int:
    """How much of the price cancelling would give back now, if the reservation, a row with `now`, were a booking."""
    return int(refund_percent(reservation.cancellation_policy, reservation.starts_at, reservation.now))


def refund_percent(policy: Mapping[str, Any], starts_at: datetime, now: datetime, bounds: Bounds = UNBOUND) -> Decimal:
    """Percent of the price, 0 to 100, that goes back to a customer who cancels at `now`."""
    met = (percent for min_hours, percent in _tiers(policy) if starts_at - now >= min_hours)
    return Decimal(bounds.keep(next(met, 0)))


def refund_of(
    price: Money, policy: Mapping[str, Any], starts_at: datetime, now: datetime, bounds: Bounds = UNBOUND
) -> Money:
    """What goes back, rounded half to even to the currency's minor unit."""
    return price.share(refund_percent(policy, starts_at, now, bounds))


def no_show_refund(price: Money, policy: Mapping[str, Any], bounds: Bounds = UNBOUND) -> Money:
    """What goes back to a customer who does not come, rounded half to even; the rest of the price is the fee."""
    left = int(FULL) - int(policy.get("no_show_fee_percent", FULL))
    return price.share(Decimal(bounds.keep(left)))


def holds_until(
    policy: Mapping[str, Any], starts_at: datetime, now: datetime, bounds: Bounds = UNBOUND
) -> datetime | None:
    """The last instant at which as much goes back as at `now`; None when it never becomes less."""
    percent = refund_percent(policy, starts_at, now, bounds)
    ends = [starts_at - min_hours for min_hours, given in _tiers(policy) if bounds.keep(given) >= percent]
    return max(ends, default=None) if percent > bounds.floor else None


def _tiers(policy: Mapping[str, Any]) -> list[tuple[timedelta, int]]:
    """From most hours to fewest, each with its percent."""
    tiers: Sequence[Mapping[str, Any]] = policy.get("tiers", [])
    read = [(timedelta(hours=int(tier["min_hours_before"])), int(tier["refund_percent"])) for tier in tiers]
    return sorted(read, reverse=True)
