"""A section's results as a table on the terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from bench.section import Results, Row
from bench.spread import middle, ratio_of


def show(console: Console, name: str, about: str, results: Results) -> None:
    """The rows by setting, what was asked for, and what is to be known."""
    table = Table(title=f"{name}: {about}", title_justify="left")
    figures = figure_names(results.rows)
    with_ratio = any(row.beside for row in results.rows)
    for heading in headings(results.rows, figures):
        table.add_column(heading, justify="left" if heading in ("at", "what") else "right")
    at = None
    for row in results.rows:
        if at not in (None, row.at):
            table.add_section()
        at = row.at
        table.add_row(*cells(row, results.rows, figures, with_ratio))
    console.print(table)
    for target in results.targets:
        console.print(f"{'reached' if target.reached else 'MISSED '}  {target.asked}: {target.got}", highlight=False)
    for note in results.notes:
        console.print(note, style="dim", highlight=False)


def headings(rows: list[Row], figures: list[str]) -> list[str]:
    """Of the table's columns."""
    ratio = ["ratio (spread)"] if any(row.beside for row in rows) else []
    return ["at", "what", *ratio, *figures]


def cells(row: Row, rows: list[Row], figures: list[str], with_ratio: bool) -> list[str]:
    """One line of the table: medians of the rounds."""
    medians = middle(row.rounds)
    said = [number(medians[name]) if name in medians else "" for name in figures]
    ratio = ratio_of(row, rows)
    return [row.at, row.what, *([str(ratio) if ratio else ""] if with_ratio else []), *said]


def figure_names(rows: Iterable[Row]) -> list[str]:
    """Every figure that says something, in the order of their first appearance."""
    seen = dict.fromkeys(name for row in rows for figures in row.rounds for name in figures)
    return [name for name in seen if any(figures.get(name) for row in rows for figures in row.rounds)]


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
