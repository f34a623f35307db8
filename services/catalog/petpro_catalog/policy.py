"""Cancellation policies: what share of the price comes back, by how long before the start a customer cancels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from petpro_common.errors import FieldViolation

ALL = 100


@dataclass(frozen=True, order=True)
class Tier:
    """Cancel at least `min_hours_before` the start and get `refund_percent` hundredths back."""

    min_hours_before: int
    refund_percent: int


Tiers = tuple[Tier, ...]
"""From most hours to fewest; the first that is met counts, and none met is 0 %."""


@dataclass(frozen=True)
class Policy:
    """What goes back by `tiers`; who does not come at all pays `no_show_fee_percent` hundredths of the price."""

    tiers: Tiers
    no_show_fee_percent: int = ALL


USUAL = Policy((Tier(24, 100), Tier(6, 50)))


def in_order(tiers: Sequence[Tier]) -> Tiers:
    """The tiers from most hours to fewest."""
    return tuple(sorted(tiers, reverse=True))


def violations(field: str, policy: Policy) -> list[FieldViolation]:
    """What is wrong with a policy: hours that come twice, or one who is later, or never comes, gets more back."""
    found = []
    for earlier, later in pairwise(policy.tiers):
        if earlier.min_hours_before == later.min_hours_before:
            fault = f"name {later.min_hours_before} hours more than once"
            found.append(FieldViolation(f"{field}.tiers", fault))
        elif later.refund_percent > earlier.refund_percent:
            fault = f"give back more at {later.min_hours_before} hours than for an earlier cancellation"
            found.append(FieldViolation(f"{field}.tiers", fault))
    if policy.no_show_fee_percent < (least := _least_fee(policy.tiers)):
        fault = f"must be {least} at least, as much as who cancels right before the start pays"
        found.append(FieldViolation(f"{field}.no_show_fee_percent", fault))
    return found


def _least_fee(tiers: Tiers) -> int:
    """What the last tier keeps from who cancels at the last instant: else it would pay not to cancel."""
    return ALL - min((tier.refund_percent for tier in tiers if tier.min_hours_before == 0), default=0)


def tiers_to_json(tiers: Tiers) -> list[dict[str, int]]:
    """As the database holds them."""
    return [{"min_hours_before": tier.min_hours_before, "refund_percent": tier.refund_percent} for tier in tiers]


def tiers_from_json(tiers: Sequence[Mapping[str, Any]]) -> Tiers:
    """From what the database holds."""
    return tuple(Tier(**tier) for tier in tiers)


def to_json(policy: Policy, version: int) -> dict[str, Any]:
    """As events tell it."""
    return {
        "tiers": tiers_to_json(policy.tiers),
        "no_show_fee_percent": policy.no_show_fee_percent,
        "version": version,
    }
