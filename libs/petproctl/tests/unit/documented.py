"""What documents say of petproctl: the commands in them, and whether petproctl takes them as they are written."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from petproctl.main import app

# What stands in documents for what an operator knows better.
STANDS_FOR = {
    "ID": "01936d5e-7b1c-7000-8000-000000000001",
    "REFUND_ID": "01936d5e-7b1c-7000-8000-000000000002",
    "PAYMENT_ID": "01936d5e-7b1c-7000-8000-000000000003",
    "CLINIC_ID": "01936d5e-7b1c-7000-8000-000000000004",
    "SETTLEMENT_ID": "01936d5e-7b1c-7000-8000-000000000005",
    "PART": "booking",
    "...": "why",
}
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ENVIRONMENT = re.compile(r"^[A-Z_]+=\S+$")


class NotTaken(Exception):
    """The message says which words petproctl does not take, and why."""


def commands_to_type(document: Path) -> list[str]:
    """The lines of fenced blocks that call petproctl: each can be typed as it stands."""
    lines = (line for block in _FENCE.findall(document.read_text()) for line in block.splitlines())
    return [line.strip() for line in lines if re.match(r"\s*([A-Z_]+=\S+ )*petproctl\b", line)]


def commands_in_passing(document: Path) -> list[str]:
    """What sentences call petproctl with; `a|b` is each of them. A group, or a verb without what it needs, will do."""
    said = re.findall(r"`(petproctl [^`]+)`", _FENCE.sub("", document.read_text()))
    return [each for command in said for each in _alternatives(command)]


def examples_of_help() -> list[str]:
    """Every example that `--help` shows."""
    shown = [command.epilog for command in _every(typer.main.get_command(app)) if command.epilog]
    examples = [example for epilog in shown for example in re.split(r"  \|  |\n\n", epilog)]
    return [example for example in examples if not example.startswith("Exit codes: ")]


def take(command: str, *, is_whole: bool) -> None:
    """Reads a command as petproctl does, and does nothing. `is_whole`: nothing that it needs may be missing.

    Raises NotTaken.
    """
    words = [STANDS_FOR.get(word, word) for word in shlex.split(command.split(" | ")[0], comments=True)]
    called = [word for word in words if not _ENVIRONMENT.match(word)]
    try:
        _idle().main(called[1:], prog_name="petproctl", standalone_mode=False)
    except Exception as fault:
        kind = type(fault).__name__
        if is_whole or kind not in ("MissingParameter", "BadOptionUsage", "NoArgsIsHelpError"):
            raise NotTaken(f"{command}: {kind} {fault}") from fault


def _idle() -> Any:
    """petproctl with all its words and options, none of which does anything."""
    whole = typer.main.get_command(app)
    for command in _every(whole):
        if not hasattr(command, "commands"):
            command.callback = None
        for option in command.params:
            option.callback = None if option.expose_value else _end
    return whole


def _end(context: typer.Context, _: Any, is_said: Any) -> None:
    """What `--help` and `--install-completion` do at last: nothing else is wanted then."""
    if is_said:
        context.exit()


def _every(command: Any) -> Iterator[Any]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _every(each)


def _alternatives(command: str) -> list[str]:
    """`saga retry|skip` is two commands."""
    choices = [word.split("|") if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word) else [word] for word in command.split()]
    return [" ".join(words) for words in itertools.product(*choices)]
