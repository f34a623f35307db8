"""Contestants in turn, round by round, at each setting."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from rich.console import Console

from bench.section import RATE, Figures, NothingEnded, Row


@dataclass(frozen=True)
class Contestant:
    """What is measured by one call of `once`, at one setting; `beside` as in `section.Row`."""

    what: str
    at: str
    once: Callable[[], Awaitable[Figures]]
    beside: str = ""
    by: str = RATE


async def alternate(contestants: Iterable[Contestant], rounds: int) -> list[Row]:
    """Measures all of them one after the other, and all of it again in each round.

    Where nothing ended, since the machine stood still, that is measured once more; raises NothingEnded when it happens
    again.
    """
    console = Console(stderr=True)
    rows = [(one, Row(one.what, one.at, [], one.beside, one.by)) for one in contestants]
    for number in range(rounds):
        for one, row in rows:
            row.rounds.append(await _once_or_again(one, console))
            console.print(f"round {number + 1}: {one.at}, {one.what}: {row.rounds[-1].get(one.by, 0):,.6g} {one.by}")
    return [row for _, row in rows]


async def _once_or_again(one: Contestant, console: Console) -> Figures:
    try:
        return await one.once()
    except NothingEnded:
        console.print(f"{one.at}, {one.what}: nothing ended within its time; once more")
        return await one.once()


def callers(number: int) -> str:
    """How a number of callers is called as a setting."""
    return "1 caller" if number == 1 else f"{number} callers"
