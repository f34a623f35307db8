"""Says how a stack comes up: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from devstack.stack import PARTS, Listener
from devstack.supervised import State, Supervised

STYLES = {State.READY: "green", State.FAILED: "bold red", State.DOWN: "dim"}


@contextmanager
def shown(console: Console) -> Iterator[Listener]:
    """While inside, every change of a part is shown; the given listener is for `Stack`."""
    if not console.is_terminal:
        yield lambda part: _say(console, part)
        return
    board = _Board()
    with Live(board, console=console, refresh_per_second=8):
        yield board.note


def _say(console: Console, part: Supervised) -> None:
    match part.state:
        case State.READY:
            console.print(f"  {part.part.name:<13} ready after {part.seconds:.1f} s", highlight=False)
        case State.FAILED:
            console.print(f"  {part.part.name:<13} failed", highlight=False)
        case State.WAITING | State.PREPARING | State.STARTING:
            console.print(f"  {part.part.name:<13} {part.words}", highlight=False)


class _Board:
    """The table: a row for each part, in the order of `PARTS`."""

    def __init__(self) -> None:
        self._parts: dict[str, Supervised] = {}
        self._began = time.monotonic()

    def note(self, part: Supervised) -> None:
        self._parts[part.part.name] = part

    def __rich__(self) -> Table:
        elapsed = time.monotonic() - self._began
        table = Table("part", "state", "seconds", "address", box=None, title=f"PetPro, {elapsed:.0f} s")
        for name in PARTS:
            if name in self._parts:
                part = self._parts[name]
                seconds = f"{part.seconds:.1f}" if part.state is State.READY else ""
                style = STYLES.get(part.state, "yellow")
                table.add_row(name, f"[{style}]{part.words}[/]", seconds, part.part.address)
        return table
