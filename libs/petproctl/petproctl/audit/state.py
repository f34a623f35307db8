"""What one run leaves for the next: where to begin, and which subjects to look at again.

The next run begins a while before this one did: what was stamped then, and committed only later, is met again. What
this run could not judge, because its saga still ran, is named, as is what it found wrong; so nothing is forgotten for
not having changed since.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from petproctl.audit.databases import CannotLook
from petproctl.audit.run import Report


@dataclass(frozen=True)
class State:
    """Without an instant everything is looked at."""

    since: datetime | None = None
    unsettled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Subjects by invariant."""


def load(file: Path) -> State:
    """The state of the last run; the beginning where there is none. Raises CannotLook."""
    if not file.exists():
        return State()
    try:
        told = json.loads(file.read_text())
        unsettled = {name: tuple(subjects) for name, subjects in told["unsettled"].items()}
        return State(datetime.fromisoformat(told["since"]), unsettled)
    except (OSError, ValueError, KeyError) as fault:
        raise CannotLook(f"The state {file} cannot be read: {fault!r}") from fault


def save(file: Path, report: Report) -> None:
    """Writes the whole file, or none of it; after a run that was cut short the old one stays. Raises CannotLook."""
    if any(each.is_cut for each in report.outcomes):
        return
    unsettled = {each.invariant.name: each.unsettled for each in report.outcomes if each.unsettled}
    written = file.with_name(f"{file.name}.new")
    try:
        written.write_text(json.dumps({"since": report.until.isoformat(), "unsettled": unsettled}, indent=2))
        written.replace(file)
    except OSError as fault:
        raise CannotLook(f"The state {file} cannot be written: {fault}") from fault
