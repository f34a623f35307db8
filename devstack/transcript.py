"""How the story is told: numbered sentences, facts below them, and the call that was made dimmed at the side."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from devstack.api import Call

_PLAIN_WIDTH = 118
_WIDEST = 140
_INDENT = 5


class Transcript:
    """Prints to the terminal with a little colour, and as plain text of a fixed width elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._width = min(self._console.width, _WIDEST) if self._console.is_terminal else _PLAIN_WIDTH
        self._number = 0
        self.last: Call | None = None
        """The newest call; the next sentence shows it."""

    def heard(self, call: Call) -> None:
        self.last = call

    @contextmanager
    def work(self, sentence: str) -> Iterator[None]:
        """Something that takes a while: shown while it goes on, and how long it took."""
        began = time.monotonic()
        with self._console.status(f"{sentence} ...") if self._console.is_terminal else nullcontext():
            yield
        self._console.print(f"{sentence} took {time.monotonic() - began:.1f} s")

    def story(self, title: str, about: str) -> None:
        """Begin a story: its sentences are numbered from one."""
        self._number = 0
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self._console.print(Text("─" * self._width, style="dim"))
        self._console.print(Text(about, style="italic"))

    def section(self, title: str) -> None:
        """A heading without numbers, for what is shown at the end."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self._console.print(Text("─" * self._width, style="dim"))

    def step(self, sentence: str, call: Call | None = None) -> None:
        """One thing that happened, with the newest call or the one given."""
        self._number += 1
        shown = call or self.last
        self.last = None
        line = Text.assemble((f"{self._number:>3}  ", "cyan"), sentence)
        side = f"{shown.route}  {shown.milliseconds:>5.0f} ms" if shown else ""
        room = self._width - line.cell_len - cell_len(side)
        self._console.print()
        if side and room < 2:
            self._console.print(line)
            line, room = Text(), self._width - cell_len(side)
        self._console.print(line.append(" " * max(room, 2) if side else "").append(side, style="dim"))

    def fact(self, label: str, value: str) -> None:
        """A value of the running system, under the last sentence."""
        self._console.print(Text.assemble((f"{' ' * _INDENT}{label:<12} ", "dim"), value))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Rows under a head, aligned; columns named in `right` (from 0) to the right. An empty head is left out."""
        shown = [*([head] if any(head) else []), *rows]
        widths = [max(cell_len(row[column]) for row in shown) for column in range(len(head))]
        for row in shown:
            cells = [_cell(text, widths[column], column in right) for column, text in enumerate(row)]
            line = Text(f"{' ' * _INDENT}{'   '.join(cells)}".rstrip(), style="dim" if row is head else "")
            self._console.print(line)

    def trouble(self, message: str) -> None:
        """Say what went wrong."""
        self._console.print()
        self._console.print(Text(message, style="bold red"))


def _cell(text: str, width: int, right: bool) -> str:
    padding = " " * (width - cell_len(text))
    return padding + text if right else text + padding
