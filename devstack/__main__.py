"""`python -m devstack up | demo | serve | clean`: what make's targets and the tests call."""

import asyncio
import contextlib
import errno
import io
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from devstack import progress, story
from devstack.layout import ROOT, Layout
from devstack.ownership import StackBusy, is_owned
from devstack.part import PartFailed
from devstack.process import is_running
from devstack.stack import PARTS, Stack
from devstack.supervised import State, Supervised

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
console = Console(soft_wrap=True, highlight=False)

Run = Annotated[Path, typer.Option("--run", help="the stack's folder")]
Only = Annotated[str, typer.Option(help="the parts to have, with commas between")]
Fast = Annotated[bool, typer.Option(help="the database may lose data in a power cut: for tests")]
Owner = Annotated[int, typer.Option(help="stop when the process with that id ends")]
Settings = Annotated[list[str], typer.Option("--set", help="PART:NAME=VALUE, a setting more for a part")]
DEFAULT_RUN = ROOT / ".run"
EVERYTHING = ",".join(PARTS)

_OF_THE_FOLDER = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)

Work = Callable[[Stack], Awaitable[None]]


@app.command()
def up(run: Run = DEFAULT_RUN) -> None:
    """Start everything, play the stories, and serve until Ctrl-C."""

    async def play_and_stay(stack: Stack) -> None:
        await story.play(stack)
        url = stack.endpoints["gateway_url"]
        console.print(f"\nPetPro serves at {url} until Ctrl-C; every address: {run}/stack.json")
        await asyncio.Event().wait()

    _run(Stack(run), play_and_stay)


@app.command()
def demo(run: Run = DEFAULT_RUN) -> None:
    """Start everything, play the stories, stop."""
    _run(Stack(run), story.play)


@app.command()
def serve(
    run: Run = DEFAULT_RUN,
    only: Only = EVERYTHING,
    fast: Fast = False,
    owner: Owner = 0,
    settings: Settings = [],  # noqa: B006 -- typer's way to say a list
) -> None:
    """Start some parts or all, and serve until Ctrl-C or until the owner ends."""

    async def stay(_stack: Stack) -> None:
        while not owner or is_running(owner):
            await asyncio.sleep(0.5)

    _run(Stack(run, only=only.split(","), fast=fast, env=_by_part(settings)), stay)


@app.command()
def clean(run: Run = DEFAULT_RUN) -> None:
    """Remove the stack's folder with all its data."""
    if is_owned(Layout(run).supervisor_lock):
        _fail(f"A stack still runs in {run}: end it first.")
    shutil.rmtree(run, ignore_errors=True)


def _run(stack: Stack, work: Work) -> None:
    try:
        asyncio.run(_until_told(stack, work))
    except StackBusy as busy:
        _fail(f"{busy} End it first (Ctrl-C in its terminal), or use it: its addresses are in stack.json.")
    except PartFailed as failure:
        _fail(f"{failure}. The end of its log:\n{failure.log}\n\nEverything is stopped again.")
    except OSError as fault:
        if fault.errno not in _OF_THE_FOLDER:
            raise
        _fail(f"The stack's folder cannot be written: {fault}. Everything is stopped again.")


async def _until_told(stack: Stack, work: Work) -> None:
    """Start, work, and stop in order; Ctrl-C and SIGTERM end whichever of these is under way."""
    task = asyncio.ensure_future(_start_and(stack, work))
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(stop_signal, told.set)
    waiting = asyncio.ensure_future(told.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not task.done():
        console.print("\nStopping everything ...")
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _start_and(stack: Stack, work: Work) -> None:
    with progress.shown(console) as listener:
        stack.listener = listener
        await stack.start()
    stack.listener = _say_what_ended
    try:
        await work(stack)
    finally:
        await stack.stop()


def _say_what_ended(part: Supervised) -> None:
    if part.state is State.FAILED:
        console.print(f"{part.part.name} ended by itself; see {part.log}", style="red", markup=False)


def _by_part(settings: list[str]) -> dict[str, dict[str, str]]:
    by_part: dict[str, dict[str, str]] = {}
    for setting in settings:
        part, _, assignment = setting.partition(":")
        name, _, value = assignment.partition("=")
        by_part.setdefault(part, {})[name] = value
    return by_part


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(escape(message), highlight=False)
    raise typer.Exit(1)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no lines and accents gets question marks
    app()
