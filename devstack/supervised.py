"""One part of a running stack: its process, its state, and the ways to change it.

down -> waiting -> preparing -> starting -> ready -> down      (stopped or killed on purpose)
                   |            |          |
                   +------------+----------+----> failed    (not prepared, not ready, or ended by itself)
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from devstack.layout import ROOT
from devstack.part import Part, PartFailed, until
from devstack.process import Process, launch, tail

READY_SECONDS = 120.0
"""How long a part may take from its start until it is ready."""


class State(StrEnum):
    DOWN = "down"
    WAITING = "waiting"
    PREPARING = "preparing"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


class Supervised:
    """A part and whatever runs for it now. Changes of one part wait for each other."""

    def __init__(self, part: Part, log: Path, changed: Callable[["Supervised"], None], lock_file: int) -> None:
        self.part = part
        self.log = log
        self.state = State.DOWN
        self.seconds = 0.0
        """How long the last start took."""
        self._changed = changed
        self._lock_file = lock_file
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    @property
    def words(self) -> str:
        """The state, for people: what is being waited for now."""
        match self.state:
            case State.WAITING:
                return f"waits for {', '.join(self.part.needs)}"
            case State.PREPARING:
                return self.part.preparation
            case State.STARTING:
                return "waits for its health check"
            case _:
                return self.state.value

    def wait(self) -> None:
        """Say that it cannot start before what it needs is ready."""
        self._enter(State.WAITING)

    async def start(self, argv: Sequence[str] = ()) -> None:
        """Prepare and start it, or `argv` for this once; return when it is ready, PartFailed when it never is."""
        async with self._turn:
            if self.pid is not None:
                return
            began = time.monotonic()
            try:
                await self._bring_up(argv)
            except BaseException as fault:
                await self._end()
                self._enter(State.DOWN if isinstance(fault, asyncio.CancelledError) else State.FAILED)
                raise
            self.seconds = time.monotonic() - began
            self._enter(State.READY)
            self._watch = asyncio.create_task(self._notice_end())

    async def stop(self) -> None:
        """Let it drain, and return when it is gone."""
        async with self._turn:
            if self._process is not None:
                self._forget_watch()
                await self._process.stop(self.part.stop_signal, self.part.grace_seconds)
            self._enter(State.DOWN)

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        async with self._turn:
            await self._end()
            self._enter(State.DOWN)

    async def _bring_up(self, argv: Sequence[str]) -> None:
        if self.part.prepare is not None:
            self._enter(State.PREPARING)
            await self.part.prepare()
        self._process = await launch(
            argv or self.part.argv,
            env=self.part.env,
            cwd=ROOT,
            log=self.log,
            death_signal=self.part.death_signal,
            guard=self.part.guard,
            pass_fds=(self._lock_file,),
        )
        self._enter(State.STARTING)
        await self._become_ready(self._process)
        if self.part.settle is not None:
            await self.part.settle()

    async def _become_ready(self, process: Process) -> None:
        ready, ended = asyncio.ensure_future(until(self.part.ready)), asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise self._failure(f"ended with status {ended.result()} before it was ready")
            if not ready.done():
                raise self._failure(f"was not ready after {READY_SECONDS:.0f} s")
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()

    async def _notice_end(self) -> None:
        if self._process is not None:
            await self._process.wait()
            self._enter(State.FAILED)

    async def _end(self) -> None:
        self._forget_watch()
        if self._process is not None:
            await self._process.kill()

    def _forget_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _enter(self, state: State) -> None:
        self.state = state
        self._changed(self)

    def _failure(self, reason: str) -> PartFailed:
        return PartFailed(self.part.name, reason, tail(self.log))
