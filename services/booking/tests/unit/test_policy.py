"""What goes back, to the microsecond of each boundary."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_booking.policy import holds_until, refund_of, refund_percent
from petpro_common.money import Money

pytestmark = pytest.mark.unit

START = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
USUAL = {"tiers": [{"min_hours_before": 6, "refund_percent": 50}, {"min_hours_before": 24, "refund_percent": 100}]}
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("before", "percent"),
    [
        (timedelta(days=30), 100),
        (timedelta(hours=24) + TICK, 100),
        (timedelta(hours=24), 100),
        (timedelta(hours=24) - TICK, 50),
        (timedelta(hours=24) - timedelta(seconds=1), 50),
        (timedelta(hours=6), 50),
        (timedelta(hours=6) - TICK, 0),
        (timedelta(0), 0),
        (-TICK, 0),
    ],
)
def test_exactly_on_the_boundary_the_tier_is_met(before: timedelta, percent: int) -> None:
    assert refund_percent(USUAL, START, START - before) == percent


def test_without_tiers_nothing_goes_back() -> None:
    assert refund_percent({}, START, START - timedelta(days=99)) == 0


@pytest.mark.parametrize(
    ("price", "currency", "back"), [("0.25", "USD", "0.12"), ("0.35", "USD", "0.18"), ("3001", "JPY", "1500")]
)
def test_half_a_minor_unit_goes_to_the_even_one(price: str, currency: str, back: str) -> None:
    half = refund_of(Money(Decimal(price), currency), USUAL, START, START - timedelta(hours=7))
    assert half == Money(Decimal(back), currency)


def test_a_move_never_improves_what_goes_back() -> None:
    late, early = START - timedelta(hours=7), START - timedelta(days=9)
    assert refund_percent(USUAL, START, early, ceiling=50) == 50
    assert refund_percent(USUAL, START, late, ceiling=100) == 50
    assert refund_percent(USUAL, START, early, ceiling=0) == 0


TIERS = st.lists(
    st.fixed_dictionaries({"min_hours_before": st.integers(0, 99), "refund_percent": st.integers(0, 100)}), max_size=4
)


@given(TIERS, st.integers(0, 100 * 3600), st.integers(0, 100))
def test_a_quote_holds_until_it_says_and_not_longer(tiers: list[dict[str, int]], seconds: int, ceiling: int) -> None:
    tiers = _falling(tiers)
    policy, now = {"tiers": tiers}, START - timedelta(seconds=seconds)
    percent, until = refund_percent(policy, START, now, ceiling), holds_until(policy, START, now, ceiling)
    if until is None:
        assert percent == 0
        return
    assert until >= now
    assert refund_percent(policy, START, until, ceiling) == percent
    assert refund_percent(policy, START, until + TICK, ceiling) < percent


def _falling(tiers: list[dict[str, int]]) -> list[dict[str, int]]:
    """As catalog has them: hours once, and never more back for a later cancellation."""
    hours = sorted({tier["min_hours_before"] for tier in tiers})
    return [
        {"min_hours_before": each, "refund_percent": percent}
        for each, percent in zip(hours, sorted(tier["refund_percent"] for tier in tiers), strict=False)
    ]
