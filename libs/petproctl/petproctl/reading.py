"""What commands have in common that read a database by themselves: its session, and how they end when it is away.

Their sessions refuse to write. Exit codes: 0 fine, 1 something is missing, 2 wrong usage, 3 nothing could be read.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from petproctl import places
from petproctl.audit.databases import CannotLook, Databases
from petproctl.terminal import UNREACHABLE

RunFolder = Annotated[Path, typer.Option("--run", envvar="PETPRO_RUN", help="a dev stack's folder")]
Dsns = Annotated[list[str] | None, typer.Option("--dsn", help="SERVICE=URL; else PETPRO_AUDIT_<SERVICE>_DSN")]


def folder_of(context: typer.Context) -> Path:
    """The dev stack's folder, which is told before the verb."""
    return Path(context.parent.params["run"]) if context.parent else Path(".run")


@contextmanager
def databases(run: Path, given: list[str] | None) -> Iterator[Databases]:
    """The services' databases, read-only; what goes wrong is said on stderr and becomes the exit code."""
    try:
        with ExitStack() as open_things:
            yield Databases(places.dsns(places.platform(run), given or []), open_things)
    except (CannotLook, places.Nowhere) as reason:
        Console(stderr=True).print(str(reason), markup=False, highlight=False)
        raise typer.Exit(UNREACHABLE) from reason
