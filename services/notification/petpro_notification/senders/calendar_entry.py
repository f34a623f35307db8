"""A booking as an iCalendar entry (RFC 5545, RFC 5546), for the person's own calendar.

The entry keeps its UID through changes, and each mail's SEQUENCE is above that of the mail before it, so a calendar
moves or removes the entry that it has.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from petpro_common import zones
from petpro_notification.domain import APPOINTMENTS, Type
from petpro_notification.store import Due, Names

_LINE_OCTETS = 75


@dataclass(frozen=True)
class CalendarEntry:
    """An iCalendar object and its method, which the mail repeats in its headers."""

    method: str
    text: str


def calendar_entry(due: Due, names: Names, organizer: str) -> CalendarEntry | None:
    """The entry of a booking that was made, moved or cancelled; None where time or zone is not known."""
    times = _times(due.facts, names)
    if times is None or due.booking_id is None or due.type not in (*APPOINTMENTS, Type.BOOKING_CANCELLED):
        return None
    is_cancelled = due.type is Type.BOOKING_CANCELLED
    method = "CANCEL" if is_cancelled else "PUBLISH"
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//PetPro//Bookings//EN",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{due.booking_id}",
        f"SEQUENCE:{int(due.created_at.timestamp())}",
        f"DTSTAMP:{_instant(due.created_at)}",
        f"DTSTART:{_instant(times[0])}",
        f"DTEND:{_instant(times[1])}",
        f"ORGANIZER:mailto:{organizer}",
        f"STATUS:{'CANCELLED' if is_cancelled else 'CONFIRMED'}",
        f"SUMMARY:{_escaped(names.service or 'PetPro')}",
        f"LOCATION:{_escaped(names.clinic or '')}",
        f"DESCRIPTION:{_escaped(due.facts.get('reference_code') or '')}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return CalendarEntry(method, "".join(f"{_folded(line)}\r\n" for line in lines))


def _times(facts: Any, names: Names) -> tuple[datetime, datetime] | None:
    """Those of the slot; where a release before has not told them, by its local time and what a visit takes now."""
    if facts.get("starts_at") and facts.get("ends_at"):
        return datetime.fromisoformat(facts["starts_at"]), datetime.fromisoformat(facts["ends_at"])
    starts_at = _start(facts, names.timezone)
    if starts_at is None:
        return None
    return starts_at, starts_at + timedelta(minutes=names.duration_minutes or 0)


def _start(facts: Any, timezone: str | None) -> datetime | None:
    if timezone is None or timezone not in zones.names():
        return None
    if not facts.get("slot_date") or not facts.get("slot_time"):
        return None
    wall = datetime.combine(date.fromisoformat(facts["slot_date"]), time.fromisoformat(facts["slot_time"]))
    return wall.replace(tzinfo=zones.zone(timezone)).astimezone(UTC)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _escaped(text: str) -> str:
    for plain, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r", ""), ("\n", "\\n")):
        text = text.replace(plain, written)
    return text


def _folded(line: str) -> str:
    """Lines longer than 75 octets go on in the next, which begins with a space; no character is torn apart."""
    if len(line.encode()) <= _LINE_OCTETS:
        return line
    parts: list[str] = []
    part = ""
    for character in line:
        if len((part + character).encode()) > _LINE_OCTETS - bool(parts):
            parts.append(part)
            part = ""
        part += character
    return "\r\n ".join([*parts, part])
