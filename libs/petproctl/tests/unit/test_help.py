"""What documents promise of every command: `--json` or a document, and exit codes that `--help` says."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from petproctl.main import app

DOCUMENTS = {"money export", "settlement statement", "users export"}
_EXIT_CODES = re.compile(r"Exit codes: 0 .+?; 1 .+?; 2 .+?\.")


def _verbs(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Each command that does something, by its words."""
    if not hasattr(command, "commands"):
        yield " ".join(names), command
    for name, each in getattr(command, "commands", {}).items():
        yield from _verbs(each, *names, name)


COMMANDS = dict(_verbs(typer.main.get_command(app)))


def _help(*words: str) -> str:
    return " ".join(CliRunner().invoke(app, [*words, "--help"]).stdout.split())


def test_every_command_takes_json_or_writes_a_document() -> None:
    options = {name: {word for each in command.params for word in each.opts} for name, command in COMMANDS.items()}
    assert {name for name, taken in options.items() if "--out" in taken} == DOCUMENTS
    assert {name for name, taken in options.items() if "--json" in taken} == COMMANDS.keys() - DOCUMENTS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_or_its_group_says_its_exit_codes(command: str) -> None:
    words = command.split()
    assert any(_EXIT_CODES.search(_help(*words[:length])) for length in range(1, len(words) + 1))
