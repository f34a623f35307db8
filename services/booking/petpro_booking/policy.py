"""What a customer gets back on cancelling, by the policy that was in force when the booking was made.

A policy is a list of tiers: at least `min_hours_before` the start, `refund_percent` of the price. The tier with the
most hours that is met counts; when none is met nothing goes back. An instant exactly on a tier's boundary meets it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from petpro_common.money import Money

FULL = Decimal(100)


def refund_percent(policy: Mapping[str, Any], starts_at: datetime, now: datetime) -> Decimal:
    """Percent of the price, 0 to 100, that goes back to a customer who cancels at `now`."""
    tiers: Sequence[Mapping[str, Any]] = policy.get("tiers", [])
    for tier in sorted(tiers, key=lambda tier: -int(tier["min_hours_before"])):
        if starts_at - now >= timedelta(hours=int(tier["min_hours_before"])):
            return Decimal(int(tier["refund_percent"]))
    return Decimal(0)


def refund_of(price: Money, policy: Mapping[str, Any], starts_at: datetime, now: datetime) -> Money:
    """What goes back, rounded half to even to the currency's minor unit."""
    return price.share(refund_percent(policy, starts_at, now))
