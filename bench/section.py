"""What a section of the bench is, and what it gives back.

A section is a module of this package with

    NAME: str                                        # what `make bench ONLY=...` calls it
    ABOUT: str                                       # one sentence for the head of its table
    async def run(options: Options) -> Results       # starts what it needs, measures, leaves nothing running

named in `bench/__main__.py`. It measures its contestants alternately, `options.rounds` times for `options.seconds`
each, and gives for each one a row with the figures of every round. Figures are named for people, unit included;
the ratio of a row is to the row `beside` it, round by round, so that a slow minute of the machine harms both alike.
"""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

RATE = "a second"
P50, P95, P99 = "p50 ms", "p95 ms", "p99 ms"

Figures = Mapping[str, float]
"""What one round gave, by the figure's name."""


class NothingEnded(Exception):
    """A round has no figures: of what it began, less than two things ended within its time."""


@dataclass(frozen=True)
class Options:
    """What a person asked for."""

    rounds: int = 3
    seconds: float = 5.0
    """Of each contestant in each round."""
    size: str = "small"
    """`full` for sizes that take long to load."""
    minutes: int = 60
    """Of load in a section that lasts."""
    record: bool = False
    """Write what was measured as what later runs are held against."""


@dataclass(frozen=True)
class Row:
    """One contestant at one setting."""

    what: str
    at: str
    """The setting, such as "32 callers"."""
    rounds: list[Figures]
    beside: str = ""
    """The `what` at the same setting to which this row is a ratio; empty: none."""
    by: str = RATE
    """The figure that is compared."""


@dataclass(frozen=True)
class Target:
    """What was asked for, and what came of it."""

    asked: str
    got: str
    reached: bool


@dataclass(frozen=True)
class Results:
    """What a section found."""

    rows: list[Row]
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences for the reader: what limits, what was left out."""
    how: str = ""
    """What was measured, in words; empty: medians of rounds, alternating."""
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """What is drawn over time: how much, minute by minute."""


class Section(Protocol):
    """A module that measures."""

    NAME: str
    ABOUT: str

    def run(self, options: Options) -> Coroutine[Any, Any, Results]:
        """Measures; raises when a call fails, for half a measure is none."""
