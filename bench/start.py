"""How long the platform and each service take from nothing until they serve."""

import asyncio
import signal
import tempfile
import time
from pathlib import Path

from bench.rounds import Contestant, alternate
from bench.section import Figures, Options, Results, Row, Target
from bench.spread import typical
from devstack.layout import ROOT, SERVICES
from devstack.process import launch, python_module
from devstack.running import RunningStack
from devstack.stack import Stack
from devstack.supervised import State

NAME = "start"
ABOUT = "From nothing until it serves: a `make up` that has run before, and each service in a running stack."
SECONDS = "s"
ALL, ONE = "everything", "one service"
UP = "make up, every part ready"
_MOST_SECONDS = {ALL: 15.0, ONE: 2.0}
_LOOK_SECONDS, _PATIENCE_SECONDS, _STOP_SECONDS = 0.02, 120.0, 60.0


async def run(options: Options) -> Results:
    """`options.rounds` starts of each. The first start of all, which makes databases and secrets, is not measured."""
    with tempfile.TemporaryDirectory(prefix="petpro-bench-", ignore_cleanup_errors=True) as folder:
        run = Path(folder) / "run"
        await _up(run)
        everything = await alternate([Contestant(UP, ALL, lambda: _up(run), by=SECONDS)], options.rounds)
        stack = Stack(run)
        await stack.start()
        try:
            alone = await alternate([_contestant(stack, service) for service in SERVICES], options.rounds)
        finally:
            await stack.stop()
    rows = [*everything, *alone]
    return Results(rows, targets(rows), how=f"medians of {options.rounds} starts, alternating")


async def _up(run: Path) -> Figures:
    """As a person starts it. Raises TimeoutError when it is never ready, RuntimeError when it ends."""
    began = time.monotonic()
    command = python_module("devstack", "up", "--run", str(run))
    process = await launch(command, env={}, cwd=ROOT, log=run.with_name("up.log"))
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not _is_ready(run, process.pid):
                if process.returncode is not None:
                    raise RuntimeError(f"make up ended with status {process.returncode}")
                await asyncio.sleep(_LOOK_SECONDS)
        return {SECONDS: time.monotonic() - began}
    finally:
        await process.stop(signal.SIGTERM, _STOP_SECONDS)


def _is_ready(run: Path, supervisor: int) -> bool:
    if not (run / "stack.json").exists():
        return False
    said = RunningStack(run).endpoints
    is_all_ready = all(part["state"] == State.READY for part in said["parts"].values())
    return bool(said["supervisor"]["pid"] == supervisor and is_all_ready)


def _contestant(stack: Stack, service: str) -> Contestant:
    async def once() -> Figures:
        await stack.stop_part(service)
        began = time.monotonic()
        await stack.start_part(service)
        return {SECONDS: time.monotonic() - began}

    return Contestant(service, ONE, once, by=SECONDS)


def targets(rows: list[Row]) -> list[Target]:
    """What was asked of a start."""
    slowest = max(SERVICES, key=lambda service: typical(rows, service, ONE, SECONDS))
    found = {ALL: (UP, typical(rows, UP, ALL, SECONDS)), ONE: (slowest, typical(rows, slowest, ONE, SECONDS))}
    return [
        Target(f"{at}: ready in {_MOST_SECONDS[at]:.0f} s", f"{seconds:.1f} s ({what})", seconds < _MOST_SECONDS[at])
        for at, (what, seconds) in found.items()
    ]
