"""From local times to instants, in a zone whose clock may jump: of slots in opening hours. Standard library only.

The clock on the wall is stepped from opening to closing; each slot lasts its full duration in real time.

- A start that the wall clock skips (it is put forward) makes no slot.
- A start at which the slot before still runs, because the clock was put forward meanwhile, makes no slot.
- A start that the wall clock shows twice (it is put back) makes one slot, at the first of the two.
- Closing at or before opening means closing on the next day: a slot may cross midnight, and its date is its start's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Hours = Mapping[str, Mapping[str, Any]]
"""Opening hours by weekday: {"monday": {"open": "09:00", "close": "18:00", "is_open": true}, ...}."""


@dataclass(frozen=True)
class Opening:
    """When a slot can be had: local times without a zone, as the clinic's wall shows them, and the instants in UTC."""

    starts: datetime
    ends: datetime
    starts_at: datetime
    ends_at: datetime


def openings(
    first: date, last: date, clinic: Hours, person: Hours, zone: tzinfo, duration: timedelta
) -> Iterator[Opening]:
    """The slots of all days from `first` to `last`, while the clinic is open and the person works.

    Without hours of their own a person works whenever the clinic is open; with some, not on days that are not named.
    """
    free_from = datetime.min.replace(tzinfo=UTC)
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        for found in _openings_of_day(day, clinic, person, zone, duration):
            if found.starts_at >= free_from:
                yield found
                free_from = found.ends_at


def _openings_of_day(day: date, clinic: Hours, person: Hours, zone: tzinfo, duration: timedelta) -> Iterator[Opening]:
    spans = [_span(day, hours) for hours in (clinic, person) if hours or hours is clinic]
    if not all(spans):
        return
    start = max(span[0] for span in spans if span)
    close = min(span[1] for span in spans if span)
    closes_at = _instant(close, zone)
    while start < close:
        found = opening(start, duration, zone)
        if _exists(start, zone) and found.ends_at <= closes_at:
            yield found
        start += duration


def opening(starts: datetime, duration: timedelta, zone: tzinfo) -> Opening:
    """What lasts so long from a local time on. One that the clock skips counts from before the jump."""
    starts_at = _instant(starts, zone)
    ends_at = starts_at + duration
    return Opening(starts, _on_the_wall(ends_at, zone), starts_at, ends_at)


def months(since: datetime, until: datetime, zone: tzinfo) -> Iterator[tuple[date, datetime]]:
    """The months of a zone from that of `since` in UTC to the second after `until`, with the instants they begin at."""
    month = since.date().replace(day=1)
    while month <= until.date() + timedelta(days=62):
        yield month, _instant(datetime.combine(month, time()), zone)
        month = (month + timedelta(days=31)).replace(day=1)


def _span(day: date, hours: Hours) -> tuple[datetime, datetime] | None:
    """Opening and closing of a day on the wall, or None when closed."""
    of_day = hours.get(WEEKDAYS[day.weekday()]) or {}
    if not of_day.get("is_open") or not of_day.get("open") or not of_day.get("close"):
        return None
    opens = datetime.combine(day, time.fromisoformat(of_day["open"]))
    closes = datetime.combine(day, time.fromisoformat(of_day["close"]))
    return opens, closes if closes > opens else closes + timedelta(days=1)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _on_the_wall(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _exists(wall: datetime, zone: tzinfo) -> bool:
    return _on_the_wall(_instant(wall, zone), zone).replace(fold=0) == wall
