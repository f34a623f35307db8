"""What goes back, to the microsecond of each boundary."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_booking.domain import BookingHasBegun, must_not_have_begun
from petpro_booking.refund_policy import Bounds, holds_until, no_show_refund, of_service, refund_of, refund_percent
from petpro_common.ids import new_id
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
    ("price", "currency", "back"),
    [("0.25", "USD", "0.12"), ("0.35", "USD", "0.18"), ("3001", "JPY", "1500"), ("3001", "ISK", "1500")],
)
def test_half_a_minor_unit_goes_to_the_even_one(price: str, currency: str, back: str) -> None:
    half = refund_of(Money(Decimal(price), currency), USUAL, START, START - timedelta(hours=7))
    assert half == Money(Decimal(back), currency)


def test_a_move_never_improves_what_goes_back() -> None:
    late, early = START - timedelta(hours=7), START - timedelta(days=9)
    assert refund_percent(USUAL, START, early, Bounds(ceiling=50)) == 50
    assert refund_percent(USUAL, START, late, Bounds(ceiling=100)) == 50
    assert refund_percent(USUAL, START, early, Bounds(ceiling=0)) == 0


def test_nobody_else_makes_it_less() -> None:
    late, early = START - timedelta(hours=7), START - timedelta(days=9)
    assert refund_percent(USUAL, START, late, Bounds(floor=80)) == 80
    assert refund_percent(USUAL, START, early, Bounds(floor=80)) == 100
    assert refund_percent({}, START, late, Bounds(floor=80)) == 80
    as_an_older_version_may_leave_them = Bounds(floor=80, ceiling=30)
    assert refund_percent(USUAL, START, late, as_an_older_version_may_leave_them) == 80


def test_who_does_not_come_pays_all_where_the_policy_tells_no_fee() -> None:
    assert no_show_refund(Money(Decimal("150000.00"), "IDR"), USUAL) == Money(Decimal("0.00"), "IDR")


@pytest.mark.parametrize(
    ("price", "currency", "fee", "back"),
    [
        ("150000.00", "IDR", 60, "60000.00"),
        ("0.25", "USD", 50, "0.12"),
        ("3001", "JPY", 50, "1500"),
        ("1", "JPY", 0, "1"),
    ],
)
def test_the_rest_of_the_price_is_rounded_to_the_minor_unit(price: str, currency: str, fee: int, back: str) -> None:
    given = no_show_refund(Money(Decimal(price), currency), {"no_show_fee_percent": fee})
    assert given == Money(Decimal(back), currency)


BOUNDS = st.lists(st.integers(0, 100), min_size=2, max_size=2).map(sorted).map(lambda both: Bounds(*both))


@given(st.decimals(0, 10_000_000, places=2), st.integers(0, 100), BOUNDS)
def test_fee_and_rest_are_the_price_within_the_bounds(price: Decimal, fee: int, bounds: Bounds) -> None:
    paid = Money(price, "IDR")
    back = no_show_refund(paid, {"no_show_fee_percent": fee}, bounds)
    assert paid.share(Decimal(bounds.floor)).amount <= back.amount <= paid.share(Decimal(bounds.ceiling)).amount
    if bounds.floor <= 100 - fee <= bounds.ceiling:
        assert back == paid.share(Decimal(100 - fee))


TIERS = st.lists(
    st.fixed_dictionaries({"min_hours_before": st.integers(0, 99), "refund_percent": st.integers(0, 100)}), max_size=4
)


@given(TIERS, st.integers(0, 100 * 3600), BOUNDS)
def test_a_quote_holds_until_it_says_and_not_longer(tiers: list[dict[str, int]], seconds: int, bounds: Bounds) -> None:
    tiers = _falling(tiers)
    policy, now = {"tiers": tiers}, START - timedelta(seconds=seconds)
    percent, until = refund_percent(policy, START, now, bounds), holds_until(policy, START, now, bounds)
    if until is None:
        assert percent == bounds.floor == refund_percent(policy, START, START + TICK, bounds)
        return
    assert until >= now
    must_not_have_begun(START, until)
    assert refund_percent(policy, START, until, bounds) == percent
    assert refund_percent(policy, START, until + TICK, bounds) < percent


@given(TIERS, st.integers(0, 100 * 3600 * 1_000_000), st.integers(0, 100))
def test_a_services_own_tiers_count_as_a_clinics_do(tiers: list[dict[str, int]], micros: int, fee: int) -> None:
    clinics = {"tiers": _falling(tiers), "no_show_fee_percent": fee, "version": 1}
    own, now = of_service(new_id(), clinics), START - timedelta(microseconds=micros)
    assert own is not None
    assert refund_percent(own, START, now) == refund_percent(clinics, START, now)
    assert holds_until(own, START, now) == holds_until(clinics, START, now)
    price = Money(Decimal("99999.99"), "IDR")
    assert no_show_refund(price, own) == no_show_refund(price, clinics)


def _falling(tiers: list[dict[str, int]]) -> list[dict[str, int]]:
    """As catalog has them: hours once, and never more back for a later cancellation."""
    hours = sorted({tier["min_hours_before"] for tier in tiers})
    return [
        {"min_hours_before": each, "refund_percent": percent}
        for each, percent in zip(hours, sorted(tier["refund_percent"] for tier in tiers), strict=False)
    ]


def test_what_goes_back_until_the_start_does_at_its_very_instant_and_not_later() -> None:
    until = holds_until({"tiers": [{"min_hours_before": 0, "refund_percent": 50}]}, START, START - TICK)
    assert until == START
    must_not_have_begun(START, until)
    with pytest.raises(BookingHasBegun):
        must_not_have_begun(START, until + TICK)
