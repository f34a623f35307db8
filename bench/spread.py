"""The arithmetic of rounds: medians, and ratios round by round with their spread."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.section import Figures, Row


@dataclass(frozen=True)
class Ratio:
    """The middle of the rounds' ratios, and the lowest and the highest."""

    middle: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.middle:.0%} ({self.lowest:.0%}-{self.highest:.0%})"


def middle(rounds: Sequence[Figures]) -> dict[str, float]:
    """The median of each figure; one that a round lacks counts as nothing there."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: statistics.median(figures.get(name, 0.0) for figures in rounds) for name in names}


def ratio(rounds: Sequence[Figures], beside: Sequence[Figures], by: str) -> Ratio:
    """Each round against the same round of the other, so that what slows the machine slows both."""
    found = [mine[by] / other[by] for mine, other in zip(rounds, beside, strict=True)]
    return Ratio(statistics.median(found), min(found), max(found))


def ratio_of(row: Row, rows: Iterable[Row]) -> Ratio | None:
    """The row's ratio to the one beside it at the same setting; None when it names none."""
    if not row.beside:
        return None
    return ratio(row.rounds, find(rows, row.beside, row.at).rounds, row.by)


def find(rows: Iterable[Row], what: str, at: str) -> Row:
    """Raises LookupError when there is no such row."""
    for row in rows:
        if (row.what, row.at) == (what, at):
            return row
    raise LookupError(f"no row for {what} at {at}")


def typical(rows: Iterable[Row], what: str, at: str, figure: str) -> float:
    """The median of one figure of one row."""
    return middle(find(rows, what, at).rounds)[figure]
