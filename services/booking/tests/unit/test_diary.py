"""Opening hours become slots, also where the clock jumps and past midnight."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

import pytest

from petpro_booking.diary import WEEKDAYS, Hours, Opening, first_day, openings
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


CLOSED = {"open": None, "close": None, "is_open": False}


def on_date(day: date, opens: str, closes: str) -> Hours:
    return {day.isoformat(): {"date": day.isoformat(), "open": opens, "close": closes, "is_open": True}}


def test_a_date_that_is_named_goes_by_its_own_hours_and_the_days_around_it_by_theirs() -> None:
    sunday = MONDAY - timedelta(days=1)
    clinic = {**every_day("09:00", "10:00"), "sunday": CLOSED}

    assert on(MONDAY, {**clinic, MONDAY.isoformat(): CLOSED}) == []
    assert starts(on(MONDAY + timedelta(days=1), {**clinic, MONDAY.isoformat(): CLOSED})) == ["09:00", "09:30"]
    assert starts(on(MONDAY + timedelta(days=7), {**clinic, MONDAY.isoformat(): CLOSED})) == ["09:00", "09:30"]
    assert starts(on(MONDAY, {**clinic, **on_date(MONDAY, "14:00", "15:00")})) == ["14:00", "14:30"]
    assert on(sunday, clinic) == []
    assert starts(on(sunday, {**clinic, **on_date(sunday, "14:00", "15:00")})) == ["14:00", "14:30"]


def test_a_night_goes_with_the_date_on_which_it_begins() -> None:
    nights = every_day("23:00", "01:00")
    closed = {**nights, MONDAY.isoformat(): CLOSED}

    night_of_sunday = on(MONDAY - timedelta(days=1), closed)
    assert [opening.starts.strftime("%a %H:%M") for opening in night_of_sunday[-2:]] == ["Mon 00:00", "Mon 00:30"]
    assert on(MONDAY, closed) == []
    assert starts(on(MONDAY + timedelta(days=1), closed)) == ["23:00", "23:30", "00:00", "00:30"]


def test_on_a_date_that_is_named_a_person_serves_as_far_as_their_own_hours_reach() -> None:
    clinic = {**every_day("09:00", "12:00"), **on_date(MONDAY, "11:00", "14:00")}
    tuesday = MONDAY + timedelta(days=1)

    assert starts(on(MONDAY, clinic, every_day("10:00", "12:00"))) == ["11:00", "11:30"]
    assert on(MONDAY, clinic, {"tuesday": every_day("10:00", "12:00")["tuesday"]}) == []
    assert on(tuesday, {**clinic, tuesday.isoformat(): CLOSED}, every_day("10:00", "12:00")) == []


def test_yesterday_is_over_where_its_night_did_not_begin() -> None:
    nights, tuesday = every_day("20:00", "04:00"), MONDAY + timedelta(days=1)
    now = datetime.combine(tuesday, time(1), JAKARTA).astimezone(UTC)

    assert first_day(now, nights, {}, JAKARTA) == MONDAY
    assert first_day(now, {**nights, MONDAY.isoformat(): CLOSED}, {}, JAKARTA) == tuesday
    assert first_day(now, {**nights, tuesday.isoformat(): CLOSED}, {}, JAKARTA) == MONDAY


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


@pytest.mark.parametrize(
    ("shift", "day", "found"),
    [
        ({"monday": ("22:00", "02:00")}, 0, ["Mon 22:00", "Mon 23:00", "Tue 00:00", "Tue 01:00"]),
        ({"tuesday": ("00:00", "06:00")}, 1, ["Tue 00:00", "Tue 01:00", "Tue 02:00", "Tue 03:00"]),
        ({"tuesday": ("00:00", "06:00")}, 0, []),
        (
            {"sunday": ("22:00", "06:00")},
            6,
            ["Sun 22:00", "Sun 23:00", "Mon 00:00", "Mon 01:00", "Mon 02:00", "Mon 03:00"],
        ),
        ({"monday": ("03:00", "21:00")}, 0, ["Mon 03:00", "Mon 20:00"]),
        ({"monday": ("05:00", "19:00")}, 0, []),
    ],
)
def test_a_person_serves_at_night_while_the_clinic_is_open_since_the_evening_before(
    shift: dict[str, tuple[str, str]], day: int, found: list[str]
) -> None:
    person = {name: {"open": opens, "close": closes, "is_open": True} for name, (opens, closes) in shift.items()}
    made = on(MONDAY + timedelta(days=day), every_day("20:00", "04:00"), person, minutes=60)
    assert [opening.starts.strftime("%a %H:%M") for opening in made] == found


def test_the_night_of_a_sunday_ends_on_monday_though_the_clinic_is_closed_then() -> None:
    sundays = {"sunday": {"open": "22:00", "close": "01:00", "is_open": True}}
    made = list(openings(MONDAY, MONDAY + timedelta(days=7), sundays, {}, JAKARTA, timedelta(hours=1)))
    assert [opening.starts.strftime("%a %d %H:%M") for opening in made] == [
        "Sun 13 22:00",
        "Sun 13 23:00",
        "Mon 14 00:00",
    ]


def test_at_a_practice_that_never_closes_midnight_is_no_border() -> None:
    always, nights = every_day("00:00", "00:00"), every_day("22:00", "01:00")
    assert len(on(MONDAY, always)) == 48
    [whole_day] = on(MONDAY, always, minutes=1440)
    assert whole_day.ends == whole_day.starts + timedelta(days=1)
    shift = on(MONDAY, always, nights, minutes=45)
    assert starts(shift) == ["22:00", "22:45", "23:30", "00:15"]


@pytest.mark.parametrize(
    ("clinic", "person", "time_of_day", "is_yesterday"),
    [
        (("20:00", "04:00"), None, "00:00", True),
        (("20:00", "04:00"), None, "03:59", True),
        (("20:00", "04:00"), None, "04:00", False),
        (("20:00", "04:00"), ("22:00", "02:00"), "01:59", True),
        (("20:00", "04:00"), ("22:00", "02:00"), "02:00", False),
        (("20:00", "04:00"), ("22:00", "06:00"), "04:00", False),
        (("00:00", "00:00"), None, "00:00", False),
        (("00:00", "00:00"), ("22:00", "06:00"), "05:59", True),
        (("09:00", "18:00"), None, "00:30", False),
    ],
)
def test_yesterday_counts_while_a_night_that_began_then_goes_on(
    clinic: tuple[str, str], person: tuple[str, str] | None, time_of_day: str, is_yesterday: bool
) -> None:
    tuesday = MONDAY + timedelta(days=1)
    now = datetime.combine(tuesday, time.fromisoformat(time_of_day), JAKARTA).astimezone(UTC)
    hours = every_day(*clinic), every_day(*person) if person else {}

    first = first_day(now, *hours, JAKARTA)
    assert first == (MONDAY if is_yesterday else tuesday)
    *_, last = openings(MONDAY, MONDAY, *hours, JAKARTA, timedelta(minutes=1))
    assert (last.ends_at > now) == is_yesterday


def test_days_that_are_asked_for_together_or_each_by_itself_have_the_same_slots() -> None:
    clinic, person = every_day("20:00", "04:00"), every_day("00:00", "22:00")
    days = [MONDAY + timedelta(days=n) for n in range(8)]
    together = list(openings(days[0], days[-1], clinic, person, JAKARTA, timedelta(minutes=40)))
    assert together == [opening for day in days for opening in on(day, clinic, person, minutes=40)]
    assert _no_two_overlap(together)


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
