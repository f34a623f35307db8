"""From local times to instants, in a zone whose clock may jump: of slots in opening hours. Standard library only.

The clock on the wall is stepped from opening to closing; each slot lasts its full duration in real time.

- A start that the wall clock skips (it is put forward) makes no slot.
- A start at which the slot before still runs, because the clock was put forward meanwhile, makes no slot.
- A start that the wall clock shows twice (it is put back) makes one slot, at the first of the two.
- Closing at or before opening means closing on the next day, a Sunday's on Monday: a slot may cross midnight, and its
  date is its start's. From 00:00 to 00:00 is a whole day.
- A date that the hours name goes by that in place of its weekday.
- A person serves from the start to the end of a shift of theirs, as far as the clinic is open, be it since the evening
  before. A clinic's hours without a gap between them are one: a practice that never closes has no border at midnight.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, TypeAlias

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Hours = Mapping[str, Mapping[str, Any]]
"""Opening hours by weekday: {"monday": {"open": "09:00", "close": "18:00", "is_open": true}, ...}.

A date that is not like its weekday is there too, by ISO date."""

_Span: TypeAlias = tuple[datetime, datetime]
"""From opening to closing on the wall."""


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
    """The slots of all hours that begin on a day from `first` to `last`, while the clinic is open and the person works.

    The hours are the person's. Without some of their own a person works whenever the clinic is open; with some, not on
    days that are not named.
    """
    free_from = datetime.min.replace(tzinfo=UTC)
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        for start, close in _times_to_serve(day, clinic, person):
            for found in _openings_within(start, close, zone, duration):
                if found.starts_at >= free_from:
                    yield found
                    free_from = found.ends_at


def first_day(now: datetime, clinic: Hours, person: Hours, zone: tzinfo) -> date:
    """The first day that has hours to come, or today: yesterday while a night that began then goes on."""
    today = _on_the_wall(now, zone).date()
    yesterday = today - timedelta(days=1)
    goes_on = any(_instant(close, zone) > now for _, close in _times_to_serve(yesterday, clinic, person))
    return yesterday if goes_on else today


def _times_to_serve(day: date, clinic: Hours, person: Hours) -> Iterator[_Span]:
    hours = _span(day, person or clinic)
    if hours is None:
        return
    for opens, closes in _open_around(day, clinic) if person else [hours]:
        start, close = max(opens, hours[0]), min(closes, hours[1])
        if start < close:
            yield start, close


def _openings_within(start: datetime, close: datetime, zone: tzinfo, duration: timedelta) -> Iterator[Opening]:
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


def _open_around(day: date, clinic: Hours) -> Sequence[_Span]:
    """When the clinic is open from the evening before to the night after, in order; what has no gap is one."""
    found: list[_Span] = []
    for span in (_span(day + timedelta(days=n), clinic) for n in (-1, 0, 1)):
        if span and found and span[0] <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], span[1])
        elif span:
            found.append(span)
    return found


def _span(day: date, hours: Hours) -> _Span | None:
    """Opening and closing of a day on the wall, or None when closed."""
    of_day = hours.get(day.isoformat()) or hours.get(WEEKDAYS[day.weekday()]) or {}
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
