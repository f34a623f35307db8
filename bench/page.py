"""docs/benchmarks.md: tables and plots are written anew between marks; the words around them are people's."""

import re
from collections.abc import Mapping
from typing import Any

from bench import results
from bench.plot import Groups, bars, lines
from bench.section import RATE, Results, Row, Target
from bench.show import cells, headings
from bench.spread import middle
from devstack.layout import ROOT

FILE = ROOT / "docs" / "benchmarks.md"
_PLOTTED = {"holds", "sagas", "looks", "limits", "gateway", "overload", "replicas", "story"}


def write() -> None:
    """Fills every section of the page that has been measured, draws its plot, and tells all targets at the top."""
    page = FILE.read_text()
    targets: dict[str, list[Target]] = {}
    for name, section in results.read().items():
        found = results.results_of(section)
        plot = draw(name, found)
        page = filled(page, name, section_text(section, found, plot))
        targets[name] = found.targets
    FILE.write_text(filled(page, "targets", glance(targets)))


def filled(page: str, name: str, text: str) -> str:
    """The page with that text between the section's marks. Raises LookupError when the page has no place for it."""
    begin, end = f"<!-- bench: {name} -->", f"<!-- end: {name} -->"
    if begin not in page or end not in page:
        raise LookupError(f"{FILE.name} has no place for {name}: {begin} ... {end}")
    marked = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return marked.sub(lambda _: f"{begin}\n{text}\n{end}", page)


def section_text(section: dict[str, Any], found: Results, plot: str) -> str:
    """What stands between the marks: when and where, targets, table, notes, plot."""
    options = section["options"]
    rounds = f"medians of {options['rounds']} rounds of {options['seconds']:g} s, alternating"
    head = f"{section['about']}\n\nMeasured {section['measured']} on {section['machine']}: {found.how or rounds}."
    targets = [f"- {'reached' if one.reached else '**missed**'}: {one.asked}: {one.got}" for one in found.targets]
    notes = [f"- {note}" for note in found.notes]
    picture = f"![{section['about']}]({plot})" if plot else ""
    blocks = [head, "\n".join(targets), table(found.rows), "\n".join(notes), picture]
    return "\n\n".join(block for block in blocks if block)


def glance(targets: Mapping[str, list[Target]]) -> str:
    """All targets of all sections as a Markdown table: those that are missed first."""
    lines = [
        f"| {'reached' if one.reached else '**missed**'} | {name} | {one.asked} | {one.got} |"
        for reached in (False, True)
        for name, of_section in targets.items()
        for one in of_section
        if one.reached is reached
    ]
    return "\n".join(["| | section | asked | measured |", "| --- | --- | --- | --- |", *lines])


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    columns = headings(rows)
    rule = ["---" if name in ("at", "what") else "--:" for name in columns]
    lines = [columns, rule, *(cells(row, rows, columns) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(name: str, found: Results) -> str:
    """What a section found as an SVG, over time or by setting; its path from the page, or nothing."""
    if name not in _PLOTTED and not found.series:
        return ""
    file = results.FILE.parent / f"{name}.svg"
    file.parent.mkdir(parents=True, exist_ok=True)
    if found.series:
        file.write_text(lines(f"{name}: MiB over minutes", found.series))
    else:
        file.write_text(bars(f"{name}: operations a second", rates(found.rows)))
    return f"{file.parent.name}/{file.name}"


def rates(rows: list[Row]) -> Groups:
    """What is drawn: the middle rate of each contestant, by setting."""
    settings = dict.fromkeys(row.at for row in rows)
    return {at: [(row.what, middle(row.rounds)[RATE]) for row in rows if row.at == at] for at in settings}
