"""`petproctl partitions`: what partitions the tables of booking have, and whether the next periods have theirs."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from petproctl.reading import Dsns, RunFolder, databases
from petproctl.terminal import AsJson, say

MISSING = 1
_MONTHS = {"slots": 1, "reservations": 3, "bookings": 3}
_TABLES = tuple(_MONTHS)

# Of each partition its first and last instant stand in its bound; rows are as the planner knows them.
_PARTITIONS = """
    SELECT parent.relname AS "table", part.relname AS partition, pg_get_expr(part.relpartbound, part.oid) AS bounds,
        greatest(part.reltuples, 0)::bigint AS rows, pg_total_relation_size(part.oid) AS bytes
    FROM pg_class parent JOIN pg_inherits ON inhparent = parent.oid JOIN pg_class part ON part.oid = inhrelid
    WHERE parent.relkind = 'p' AND parent.relname = ANY(%(tables)s) ORDER BY parent.relname, part.relname
"""


def command(dsn: Dsns = None, as_json: AsJson = False, run: RunFolder = Path(".run")) -> None:
    """List the partitions of slots, reservations and bookings.

    Exit codes: 0 none is missing; 1 this period of one or the next has none; 2 wrong usage; 3 nothing could be read.
    """
    with databases(run, dsn) as read:
        found = read.rows("booking", _PARTITIONS, {"tables": list(_TABLES)})
    missing = missing_of({row["partition"] for row in found}, datetime.now(UTC).date())
    say(as_json, {"partitions": found, "missing": missing}, lambda console: _draw(console, found, missing))
    if missing:
        raise typer.Exit(MISSING)


def missing_of(there: Iterable[str], today: date) -> list[str]:
    """The names of the partitions of this period and the next that are not there."""
    wanted = [name for table in _TABLES for name in (_name(table, today), _name(table, _next(table, today)))]
    return sorted(set(wanted) - set(there))


def _next(table: str, day: date) -> date:
    months = _MONTHS[table]
    period = (day.year * 12 + day.month - 1) // months + 1
    year, month = divmod(period * months, 12)
    return date(year, month + 1, 1)


def _name(table: str, day: date) -> str:
    """As the database names them: slots_2026_11, bookings_2026_q4."""
    return f"{table}_{day:%Y_%m}" if _MONTHS[table] == 1 else f"{table}_{day.year}_q{(day.month + 2) // 3}"


def _draw(console: Console, found: list[dict[str, Any]], missing: list[str]) -> None:
    drawn = Table("table", "partition", "holds", "rows", "MiB")
    for row in found:
        size = f"{row['bytes'] / 2**20:,.1f}"
        drawn.add_row(row["table"], row["partition"], row["bounds"], f"{row['rows']:,}", size)
    console.print(drawn)
    for name in missing:
        console.print(f"{name} is missing", style="red")
