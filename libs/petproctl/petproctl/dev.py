"""`petproctl dev ...`: kill, stop, start and list the parts of a running dev stack.

The stack's supervisor listens on a Unix socket that `.run/stack.json` names. A request is one line of JSON
`{"verb": ..., "part": ...}`; the answer is `{"ok": true, "parts": ...}` or `{"ok": false, "error": ...}`.
"""

import json
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from petproctl.terminal import AsJson, say

ANSWER_SECONDS = 150.0
"""How long a part may take to stop or to become ready: longer than the stack waits for it."""

app = typer.Typer(
    no_args_is_help=True,
    help="The parts of a dev stack on this machine (`make up`).",
    epilog="Exit codes: 0 done; 1 no stack answers, or it refuses; 2 wrong usage.\n\n"
    "petproctl dev status --json  |  petproctl dev kill nats  |  petproctl dev start nats",
)

Part = Annotated[str, typer.Argument(help="a part's name, as `petproctl dev status` lists it")]
RunFolder = Annotated[Path, typer.Option("--run", envvar="PETPRO_RUN", help="the stack's folder", show_default=True)]
DEFAULT_RUN = Path(".run")


class StackError(Exception):
    """No dev stack answered, or it refused."""


@app.command()
def status(run: RunFolder = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """List every part: its state, process id and address."""
    _tell(as_json, _ask(run, "status"))


@app.command()
def kill(part: Part, run: RunFolder = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """End a part at once (SIGKILL), as a crash would. It stays down until it is started."""
    _tell(as_json, _ask(run, "kill", part))


@app.command()
def stop(part: Part, run: RunFolder = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """Let a part drain and end (SIGTERM). It stays down until it is started."""
    _tell(as_json, _ask(run, "stop", part))


@app.command()
def start(part: Part, run: RunFolder = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """Start a part that is down, on the address it had, and wait until it is ready."""
    _tell(as_json, _ask(run, "start", part))


def _ask(run: Path, verb: str, part: str | None = None) -> dict[str, Any]:
    try:
        return _request(run, {"verb": verb, "part": part})
    except StackError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error


def _request(run: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        control = json.loads((run / "stack.json").read_text())["control"]
        if control is None:
            raise StackError(f"No dev stack runs in {run}: it was stopped (start it with `make up`).")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(control)
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = connection.makefile().readline()
    except TimeoutError as error:
        raise StackError(f"The dev stack in {run} has not answered within {ANSWER_SECONDS:.0f} s.") from error
    except OSError as error:
        raise StackError(f"No dev stack runs in {run} (start one with `make up`): {error}") from error
    answer: dict[str, Any] = json.loads(line or '{"ok": false, "error": "the stack went away"}')
    if not answer["ok"]:
        raise StackError(answer["error"])
    return answer


def _tell(as_json: bool, answer: dict[str, Any]) -> None:
    parts = answer["parts"]
    say(as_json, {"parts": parts}, lambda console: console.print(_table(parts)))


def _table(parts: dict[str, Any]) -> Table:
    table = Table("part", "state", "pid", "address")
    for name, part in parts.items():
        table.add_row(name, part["state"], str(part["pid"] or "-"), part["address"] or "-")
    return table
