"""What commands that act through the gateway have in common: who signs in, options, exit codes, and how they answer."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from petproctl.gateway import Gateway, Json, Refused, Unreachable, sign_in_of

REFUSED, UNREACHABLE = 1, 3
EXIT_CODES = (
    "Exit codes: 0 done; 1 refused, or one of several was; 2 wrong usage; "
    "3 the platform cannot be reached or signed in to."
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Limit = Annotated[int, typer.Option("--limit", min=1, help="how many at most")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]
OlderThan = Annotated[str, typer.Option("--older-than", help="has waited so long or longer: 90s, 15m, 2h, 1d")]
Reason = Annotated[str, typer.Option("--reason", help="why; kept with your name", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="change nothing, say what would happen")]
Out = Annotated[
    Path | None, typer.Option("--out", help="a file that is not there yet; else standard output", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before acting on several")]


def connection(
    context: typer.Context,
    run: Annotated[Path, typer.Option("--run", envvar="PETPRO_RUN", help="a dev stack's folder")] = Path(".run"),
    gateway: Annotated[str, typer.Option("--gateway", envvar="PETPROCTL_GATEWAY", help="the gateway's URL")] = "",
    email: Annotated[str, typer.Option("--email", envvar="PETPROCTL_EMAIL", help="an administrator's")] = "",
) -> None:
    """Who signs in where: a dev stack's administrator, or --gateway with --email and PETPROCTL_PASSWORD."""
    context.obj = lambda: Gateway(sign_in_of(run, gateway, email))


@contextmanager
def session(context: typer.Context) -> Iterator[Gateway]:
    """A signed-in gateway; what goes wrong is said on stderr and becomes the exit code."""
    try:
        with context.obj() as gateway:
            yield gateway
    except (Refused, Unreachable) as error:
        name = f"{error.reason}: " if isinstance(error, Refused) and error.reason else ""
        Console(stderr=True).print(f"{name}{error}", markup=False, highlight=False)
        raise typer.Exit(UNREACHABLE if isinstance(error, Unreachable) else REFUSED) from error


@contextmanager
def new_file(out: Path | None) -> Iterator[TextIO]:
    """A file that was not there, for its owner's eyes; gone again when it is not written whole. Without one, stdout."""
    if out is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # which follows no link
    except OSError as fault:
        raise typer.BadParameter(f"{out}: {fault.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        out.unlink()
        raise


def seconds(text: str) -> int:
    """The seconds in a length such as 90s, 15m, 2h or 1d; 0 for none. Anything else is wrong usage."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if text and not found:
        raise typer.BadParameter("write it like 90s, 15m, 2h or 1d")
    return int(found[1]) * _SECONDS[found[2]] if found else 0


def say(as_json: bool, answer: Json, draw: Callable[[Console], Any]) -> None:
    """The answer, as JSON for programs or drawn for people."""
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        draw(Console())
