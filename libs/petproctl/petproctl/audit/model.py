"""What an invariant is, what is found, and the register of all invariants."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from petproctl.audit.look import Look


@dataclass(frozen=True)
class Violation:
    """Something that does not hold. `subject` is the id of the row, or of the provider's object."""

    invariant: str
    number: int
    subject: str
    detail: str


Findings: TypeAlias = Iterator[tuple[str, str]]
"""Pairs of subject and detail."""

Check: TypeAlias = Callable[[Look], Findings]


@dataclass(frozen=True)
class Invariant:
    """One check under the number of the promise that it belongs to (docs/operations.md, "Audit")."""

    name: str
    number: int
    check: Check

    @property
    def promise(self) -> str:
        """The first line of its docstring."""
        return (self.check.__doc__ or "").strip().splitlines()[0]


INVARIANTS: dict[str, Invariant] = {}
"""Every invariant by name."""


def invariant(number: int) -> Callable[[Check], Check]:
    """Registers a check; its name is the function's, with dashes."""

    def register(check: Check) -> Check:
        name = check.__name__.replace("_", "-")
        INVARIANTS[name] = Invariant(name, number, check)
        return check

    return register


PAUSE = timedelta(seconds=3)
"""Between two looks at a suspect."""
