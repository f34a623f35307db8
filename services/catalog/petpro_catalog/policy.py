"""Cancellation policies: what share of the price comes back, by how long before the start a customer cancels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from petpro_common.errors import FieldViolation


@dataclass(frozen=True, order=True)
class Tier:
    """Cancel at least `min_hours_before` the start and get `refund_percent` hundredths back."""

    min_hours_before: int
    refund_percent: int


Tiers = tuple[Tier, ...]
"""From most hours to fewest; the first that is met counts, and none met is 0 %."""

USUAL: Tiers = (Tier(24, 100), Tier(6, 50))


def in_order(tiers: Sequence[Tier]) -> Tiers:
    """The tiers from most hours to fewest."""
    return tuple(sorted(tiers, reverse=True))


def violations(field: str, tiers: Tiers) -> list[FieldViolation]:
    """What is wrong with tiers in order: hours that come twice, or a later cancellation that gives more back."""
    found = []
    for earlier, later in pairwise(tiers):
        if earlier.min_hours_before == later.min_hours_before:
            found.append(FieldViolation(field, f"name {later.min_hours_before} hours more than once"))
        elif later.refund_percent > earlier.refund_percent:
            found.append(
                FieldViolation(
                    field, f"give back more at {later.min_hours_before} hours than for an earlier cancellation"
                )
            )
    return found


def to_json(tiers: Tiers) -> list[dict[str, int]]:
    """As the database and events hold them."""
    return [{"min_hours_before": tier.min_hours_before, "refund_percent": tier.refund_percent} for tier in tiers]
