"""Sagas as a person reads them: a table of many, the timeline of one."""

from datetime import UTC, datetime, timedelta

from rich.console import Group
from rich.table import Table
from rich.text import Text

from petproctl.gateway import Json

_BAR_WIDTH = 20
_COLOURS = {
    "running": "cyan",
    "compensating": "yellow",
    "parked": "red",
    "completed": "green",
    "compensated": "magenta",
    "refused": "yellow",
    "timed_out": "yellow",
    "operator": "bold blue",
}


def table(sagas: list[Json]) -> Table:
    """One line a saga."""
    drawn = Table("id", "type", "status", "step", "age", "version", "business key")
    drawn.columns[0].no_wrap = True
    now = datetime.now(UTC)
    for saga in sagas:
        age = duration(now - instant(saga["created_at"]))
        version = str(saga.get("version", 0))
        about = (saga.get("step", ""), age, version, saga["business_key"])
        drawn.add_row(saga["id"], saga["saga_type"], _coloured(saga["status"]), *about)
    return drawn


def whole(saga: Json) -> Group:
    """One saga with all that happened to it: when, after how long, what, and a bar for where the time went."""
    head = Text(f"{saga['saga_type']} {saga['id']}  {saga['business_key']}\n")
    head.append_text(_coloured(saga["status"]))
    head.append(f" at {saga.get('step') or 'no step'}, version {saga.get('version', 0)}")
    return Group(head, timeline(saga.get("timeline", [])))


def timeline(lines: list[Json]) -> Table:
    """The lines, each with the time since the line before, which the bar shows as a share of the whole."""
    drawn = Table("at", "since start", "took", "", "what", "step", "try", "detail", box=None)
    instants = [instant(line["at"]) for line in lines]
    whole_time = instants[-1] - instants[0] if instants else timedelta(0)
    for number, (line, at) in enumerate(zip(lines, instants, strict=True)):
        took = at - instants[max(number - 1, 0)]
        share = took / whole_time if whole_time else 0.0
        arrow = {"forward": "→", "backward": "←"}.get(line.get("direction", ""), "") if line.get("step") else ""
        drawn.add_row(
            f"{at:%H:%M:%S.%f}"[:-3],
            duration(at - instants[0]),
            duration(took) if number else "",
            "█" * round(share * _BAR_WIDTH),
            _coloured(line["kind"]),
            f"{arrow} {line.get('step', '')}".strip(),
            str(line.get("attempt") or ""),
            Text(line.get("detail", "")),
        )
    return drawn


def duration(length: timedelta) -> str:
    """For example 12 ms, 3.2 s, 4 min, 5.1 h, 3.0 d."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def instant(text: str) -> datetime:
    """As the gateway writes it."""
    return datetime.fromisoformat(text)


def _coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, ""))
