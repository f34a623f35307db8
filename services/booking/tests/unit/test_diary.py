"""Opening hours become slots, also where the clock jumps and past midnight."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise

import pytest

from petpro_booking.diary import WEEKDAYS, Hours, Opening, openings
from petpro_common.zones import zone

JAKARTA, BERLIN = zone("Asia/Jakarta"), zone("Europe/Berlin")
MONDAY = date(2026, 12, 7)
CLOCK_GOES_FORWARD, CLOCK_GOES_BACK = date(2026, 3, 29), date(2026, 10, 25)  # in Berlin, at 2 and at 3 o'clock

pytestmark = pytest.mark.unit


def every_day(opens: str, closes: str) -> Hours:
    return {day: {"open": opens, "close": closes, "is_open": True} for day in WEEKDAYS}


def on(
    day: date, clinic: Hours, person: Hours | None = None, zone: tzinfo = JAKARTA, minutes: int = 30
) -> list[Opening]:
    return list(openings(day, day, clinic, person or {}, zone, timedelta(minutes=minutes)))


def starts(found: list[Opening]) -> list[str]:
    return [opening.starts.strftime("%H:%M") for opening in found]


def test_slots_fill_the_opening_hours_and_the_last_ends_before_closing() -> None:
    found = on(MONDAY, every_day("09:00", "10:45"))

    assert starts(found) == ["09:00", "09:30", "10:00"]
    assert found[0].starts_at == datetime(2026, 12, 7, 2, 0, tzinfo=UTC)
    assert found[0].ends_at - found[0].starts_at == timedelta(minutes=30)


def test_closed_days_have_no_slots() -> None:
    week = {"monday": {"open": None, "close": None, "is_open": False}, "tuesday": every_day("09:00", "10:00")["monday"]}

    found = list(openings(MONDAY, MONDAY + timedelta(days=6), week, {}, JAKARTA, timedelta(minutes=30)))

    assert {opening.starts.date() for opening in found} == {MONDAY + timedelta(days=1)}


def test_a_person_serves_while_both_they_work_and_the_clinic_is_open() -> None:
    clinic = every_day("09:00", "12:00")
    mornings_on_monday = {"monday": {"open": "08:00", "close": "10:00", "is_open": True}}

    assert starts(on(MONDAY, clinic, mornings_on_monday)) == ["09:00", "09:30"]
    assert on(MONDAY + timedelta(days=1), clinic, mornings_on_monday) == []


def test_a_night_clinic_has_slots_across_midnight_that_bear_the_date_of_their_start() -> None:
    found = on(MONDAY, every_day("23:00", "01:00"), minutes=40)

    assert [(o.starts.day, o.starts.strftime("%H:%M"), o.ends.strftime("%H:%M")) for o in found] == [
        (7, "23:00", "23:40"),
        (7, "23:40", "00:20"),
        (8, "00:20", "01:00"),
    ]


def test_a_start_that_the_clock_skips_makes_no_slot() -> None:
    found = on(CLOCK_GOES_FORWARD, every_day("01:00", "04:00"), zone=BERLIN)

    assert starts(found) == ["01:00", "01:30", "03:00", "03:30"]
    assert _no_two_overlap(found)


def test_a_slot_that_runs_while_the_clock_is_put_forward_keeps_its_end() -> None:
    found = on(CLOCK_GOES_FORWARD, every_day("00:00", "06:00"), zone=BERLIN, minutes=45)

    assert starts(found) == ["00:00", "00:45", "01:30", "03:45", "04:30", "05:15"]
    assert found[2].ends.strftime("%H:%M") == "03:15"


def test_a_start_that_the_clock_shows_twice_makes_one_slot_at_the_first() -> None:
    found = on(CLOCK_GOES_BACK, every_day("01:30", "03:30"), zone=BERLIN)

    assert starts(found) == ["01:30", "02:00", "02:30", "03:00"]
    assert found[1].starts_at == datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    assert _no_two_overlap(found)


@pytest.mark.parametrize("minutes", [7, 30, 45, 60, 90, 240])
@pytest.mark.parametrize("day", [CLOCK_GOES_FORWARD, CLOCK_GOES_BACK])
def test_every_slot_lasts_its_full_time_and_none_meets_another(day: date, minutes: int) -> None:
    found = list(
        openings(day, day + timedelta(days=1), every_day("00:00", "00:00"), {}, BERLIN, timedelta(minutes=minutes))
    )

    assert {opening.ends_at - opening.starts_at for opening in found} == {timedelta(minutes=minutes)}
    assert _no_two_overlap(found)
    assert all(opening.starts_at.astimezone(BERLIN).replace(tzinfo=None) == opening.starts for opening in found)


def _no_two_overlap(found: list[Opening]) -> bool:
    return all(one.ends_at <= other.starts_at for one, other in pairwise(found))
