"""The rules that need no server."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_catalog import hours, policy
from petpro_catalog.domain import ClinicStatus, WrongClinicStatus, check_can_become
from petpro_catalog.hours import Day
from petpro_catalog.policy import Policy, Tier

pytestmark = pytest.mark.unit

PENDING, APPROVED, REJECTED, SUSPENDED = ClinicStatus
HOURS = st.lists(st.integers(0, 4), unique=True, max_size=4).map(lambda hours: sorted(hours, reverse=True))
FALLING = st.lists(st.integers(0, 100), min_size=4, max_size=4).map(lambda percents: sorted(percents, reverse=True))
TIERS = st.tuples(HOURS, FALLING).map(lambda both: tuple(map(Tier, both[0], both[1])))
WAYS = {(PENDING, APPROVED), (PENDING, REJECTED), (APPROVED, SUSPENDED), (SUSPENDED, APPROVED), (REJECTED, APPROVED)}


@pytest.mark.parametrize(("now", "wanted"), list(product(ClinicStatus, ClinicStatus)))
def test_a_status_leads_where_the_drawing_says_and_nowhere_else(now: ClinicStatus, wanted: ClinicStatus) -> None:
    if (now, wanted) in WAYS:
        check_can_become(now, wanted)
        return
    with pytest.raises(WrongClinicStatus) as refused:
        check_can_become(now, wanted)
    assert refused.value.metadata == {"status": now.value}


def test_hours_come_back_from_the_database_as_they_went() -> None:
    week = hours.week_of({"friday": Day("08:00", "11:30", is_open=True)})
    assert hours.from_json(hours.to_json(week)) == week
    assert list(week) == list(hours.WEEKDAYS)


@pytest.mark.parametrize(("opens", "closes"), [("20:00", "04:00"), ("18:00", "00:00"), ("00:00", "00:00")])
def test_hours_may_end_on_the_next_day(opens: str, closes: str) -> None:
    week = hours.week_of(dict.fromkeys(hours.WEEKDAYS, Day(opens, closes, is_open=True)))
    assert hours.violations("hours", week) == []


def test_the_usual_hours_and_policy_keep_their_own_rules() -> None:
    assert hours.violations("hours", hours.USUAL) == []
    assert policy.violations("policy", policy.USUAL) == []


@pytest.mark.parametrize(
    ("tiers", "complaints"),
    [
        ((), 0),
        ((Tier(24, 100),), 0),
        ((Tier(24, 100), Tier(6, 100)), 0),
        ((Tier(24, 100), Tier(24, 100)), 1),
        ((Tier(48, 50), Tier(24, 60), Tier(0, 70)), 2),
    ],
)
def test_every_fault_of_a_policy_is_found(tiers: policy.Tiers, complaints: int) -> None:
    assert len(policy.violations("policy", Policy(policy.in_order(tiers)))) == complaints


@given(TIERS, st.integers(0, 100))
def test_who_does_not_come_never_gets_more_than_whoever_cancels_last(tiers: policy.Tiers, fee: int) -> None:
    at_the_last_instant = next((tier.refund_percent for tier in tiers if tier.min_hours_before == 0), 0)
    is_fine = policy.violations("policy", Policy(tiers, fee)) == []
    assert is_fine == (100 - fee <= at_the_last_instant)


def test_every_wrong_day_is_found() -> None:
    week = hours.week_of({"monday": Day("18:00", is_open=True), "Tuesday": Day(), "sunday": Day(is_open=True)})
    found = [violation.field for violation in hours.violations("hours", week)]
    assert found == ["hours.Tuesday", "hours.monday", "hours.sunday"]
