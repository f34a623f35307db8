"""Dates of a service that are not like their weekdays. The domain document has a list of them, and no shape for one:

    [{"date": "2026-12-25", "open": null, "close": null, "is_open": false, "reason": "Natal"}, ...]

Hours belong to the date on which they begin, as those of weekdays do. Booking makes slots by them from then on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from petpro_catalog import hours
from petpro_catalog.hours import Day
from petpro_common.errors import FieldViolation


@dataclass(frozen=True)
class ExceptionalDay:
    """What begins on a date, in place of what its weekday has. `date` is ISO 8601; `reason` is for everybody to see."""

    date: str
    hours: Day
    reason: str


ExceptionalDays = tuple[ExceptionalDay, ...]


def in_order(days: Iterable[ExceptionalDay]) -> ExceptionalDays:
    """The days by date."""
    return tuple(sorted(days, key=lambda day: day.date))


def violations(field: str, days: ExceptionalDays) -> list[FieldViolation]:
    """What is wrong with the days, named by date: none there is, one that comes twice, or hours that are none."""
    found = [(day.date, "is no date") for day in days if not _is_date(day.date)]
    found += [
        (name, "is there more than once") for name, times in Counter(day.date for day in days).items() if times > 1
    ]
    found += [(day.date, wrong) for day in days if (wrong := hours.wrong_with(day.hours))]
    return [FieldViolation(field, f"{name} {wrong}") for name, wrong in found]


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def to_json(days: ExceptionalDays) -> list[dict[str, Any]]:
    """As events tell them: a reason is for people."""
    return [{"date": day.date, **hours.day_to_json(day.hours)} for day in days]


def to_json_with_reasons(days: ExceptionalDays) -> list[dict[str, Any]]:
    """As the database holds them."""
    return [{**told, "reason": day.reason or None} for told, day in zip(to_json(days), days, strict=True)]


def from_json(stored: Iterable[Mapping[str, Any]]) -> ExceptionalDays:
    """What `to_json_with_reasons` wrote."""
    return tuple(ExceptionalDay(day["date"], hours.day_from_json(day), day["reason"] or "") for day in stored)
