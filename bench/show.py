"""A section's results as a table: headings and lines for the page, and the same on the terminal."""

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table

from bench.section import Figures, Results, Row
from bench.spread import middle, ratio_of

CPU = " CPU ms"
_CPU_HEADING = "CPU ms each: client + servers"
_SMALL = 0.04  # of all the servers' CPU; what takes less is not named


def show(console: Console, name: str, about: str, results: Results) -> None:
    """The rows by setting, what was asked for, and what is to be known."""
    table = Table(title=f"{name}: {about}", title_justify="left")
    columns = headings(results.rows)
    for heading in columns:
        table.add_column(heading, justify="left" if heading in ("at", "what", _CPU_HEADING) else "right")
    at = None
    for row in results.rows:
        if at not in (None, row.at):
            table.add_section()
        at = row.at
        table.add_row(*cells(row, results.rows, columns))
    console.print(table)
    for target in results.targets:
        console.print(f"{'reached' if target.reached else 'MISSED '}  {target.asked}: {target.got}", highlight=False)
    for note in results.notes:
        console.print(note, style="dim", highlight=False)


def headings(rows: list[Row]) -> list[str]:
    """Of the table's columns: every figure that says something; all CPU times share one."""
    seen = dict.fromkeys(name for row in rows for figures in row.rounds for name in figures)
    plain = [name for name in seen if not name.endswith(CPU) and _says_something(rows, name)]
    ratio = ["ratio (spread)"] if any(row.beside for row in rows) else []
    cpu = [_CPU_HEADING] if any(name.endswith(CPU) for name in seen) else []
    return ["at", "what", *ratio, *plain, *cpu]


def cells(row: Row, rows: list[Row], columns: list[str]) -> list[str]:
    """One line of the table: medians of the rounds."""
    medians = middle(row.rounds)
    ratio = ratio_of(row, rows)
    own = {"at": row.at, "what": row.what, "ratio (spread)": str(ratio or ""), _CPU_HEADING: cpu(medians)}
    return [own[name] if name in own else number(medians.get(name)) for name in columns]


def cpu(medians: Figures) -> str:
    """Who takes how much CPU for one operation: the client, all servers, and the greater ones of these."""
    servers = {name.removesuffix(CPU): spent for name, spent in medians.items() if name.endswith(CPU)}
    client = servers.pop("client", None)
    if not servers:
        return ""
    total = sum(servers.values())
    named = ", ".join(f"{part} {number(spent)}" for part, spent in _largest_first(servers) if spent >= _SMALL * total)
    return f"{number(client)} + {number(total)} ({named})" if client is not None else f"{number(total)} ({named})"


def number(value: float | None) -> str:
    """Three digits that count, thousands apart; nothing for nothing."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _says_something(rows: Iterable[Row], name: str) -> bool:
    return any(figures.get(name) for row in rows for figures in row.rounds)


def _largest_first(spent: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(spent.items(), key=lambda one: -one[1])
