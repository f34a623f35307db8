"""Opening and working hours: weekdays to local times, kept in the shape that the domain document gives them.

    {"monday": {"open": "09:00", "close": "18:00", "is_open": true}, ..., "sunday": {"open": null, ...}}

All seven days are always there. Closing at or before opening is closing on the next day, a Sunday's on Monday: from
20:00 to 04:00 is a night, from 00:00 to 00:00 a whole day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from petpro_common.errors import FieldViolation

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Day:
    """What begins on a weekday. `opens` and `closes` are HH:MM in the clinic's zone, both empty on a day off."""

    opens: str = ""
    closes: str = ""
    is_open: bool = False


Week = Mapping[str, Day]

_NINE_TO_SIX = Day("09:00", "18:00", is_open=True)
USUAL: Week = {
    **dict.fromkeys(WEEKDAYS[:5], _NINE_TO_SIX),
    "saturday": Day("09:00", "15:00", is_open=True),
    "sunday": Day(),
}
"""What a clinic has that names no hours: the default of the domain document."""


def week_of(days: Mapping[str, Day]) -> Week:
    """All seven days; those not named are off. Unknown names are kept, for `violations` to find."""
    return {**dict.fromkeys(WEEKDAYS, Day()), **days}


def violations(field: str, week: Week) -> list[FieldViolation]:
    """What is wrong with the hours, by day."""
    found = {name: "is no weekday in lower-case English" for name in week if name not in WEEKDAYS}
    for name, day in week.items():
        wrong = wrong_with(day)
        if wrong:
            found.setdefault(name, wrong)
    return [FieldViolation(f"{field}.{name}", wrong) for name, wrong in sorted(found.items())]


def wrong_with(day: Day) -> str:
    """What is wrong with one day; empty when nothing is."""
    if not day.is_open:
        return "names hours although is_open is false" if day.opens or day.closes else ""
    return "" if day.opens and day.closes else "needs both open and close when it is open"


def to_json(week: Week) -> dict[str, Any]:
    """As the database and events hold it."""
    return {name: day_to_json(day) for name, day in week.items()}


def day_to_json(day: Day) -> dict[str, Any]:
    """One day, as the database and events hold it."""
    return {"open": day.opens or None, "close": day.closes or None, "is_open": day.is_open}


def from_json(stored: Mapping[str, Any]) -> Week:
    """What `to_json` wrote."""
    return {name: day_from_json(day) for name, day in stored.items()}


def day_from_json(stored: Mapping[str, Any]) -> Day:
    """What `day_to_json` wrote."""
    return Day(stored["open"] or "", stored["close"] or "", stored["is_open"])
