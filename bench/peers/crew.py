"""The processes of one engine: they take orders as `worker` says, and can be killed and started again."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.load import Outcome
from devstack.layout import ROOT

_LONGEST_LINE = 1 << 26


@dataclass(frozen=True)
class Program:
    """One process of an engine."""

    python: Path
    module: str
    env: Mapping[str, str]
    leads: bool = True
    """Whether it begins sagas; the others only work on them."""


@dataclass
class Crew:
    """All processes of an engine."""

    programs: Sequence[Program]
    log: Path
    _launched: list[asyncio.subprocess.Process] = field(default_factory=list)
    _running: list[asyncio.subprocess.Process] = field(default_factory=list)
    """Those that are ready for orders."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Returns when all are ready. Raises EOFError with the end of their log when one ends instead."""
        launched = [await self._launch(program) for program in self.programs]
        self._launched += launched
        await asyncio.gather(*map(self._hear, launched))
        self._running = launched

    async def kill(self) -> None:
        """SIGKILL to every process; they are gone when it returns."""
        dying, self._launched, self._running = self._launched, [], []
        for process in dying:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in dying))

    async def measure(self, callers: int, seconds: float, first: int) -> tuple[list[Outcome], int]:
        """Has the leads run sagas from `first` on; what each of them saw, and the first number that is unused."""
        leads = self._leads()
        shares = [len(range(number, callers, len(leads))) for number in range(len(leads))]
        orders = [
            {"callers": share, "seconds": seconds, "first": first + number, "stride": len(leads)}
            for number, share in enumerate(shares)
        ]
        answers = await asyncio.gather(*map(self._ask, leads, orders))
        outcomes = [Outcome(taken=answer["taken"], last_end=answer["last_end"]) for answer in answers]
        return outcomes, max(answer["next"] for answer in answers) + len(leads)

    async def cpu_seconds(self) -> float:
        """Of all processes, since their start."""
        answers = await asyncio.gather(*(self._ask(process, {"spent": True}) for process in self._running))
        return float(sum(answer["cpu_seconds"] for answer in answers))

    async def begin(self, numbers: Sequence[int]) -> None:
        """Begins these sagas durably. Raises EOFError or ConnectionError when it is down or killed meanwhile."""
        leads = self._leads()
        if not leads:
            raise ConnectionError("no process is ready")
        shares = [{"start": list(numbers[number :: len(leads)])} for number in range(len(leads))]
        await asyncio.gather(*map(self._ask, leads, shares))

    def _leads(self) -> list[asyncio.subprocess.Process]:
        return [process for process, program in zip(self._running, self.programs, strict=False) if program.leads]

    async def _launch(self, program: Program) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                program.python,
                *("-m", program.module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **program.env},
                cwd=ROOT,
                limit=_LONGEST_LINE,
            )

    async def _ask(self, process: asyncio.subprocess.Process, order: Mapping[str, object]) -> dict[str, Any]:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
        return await self._hear(process)

    async def _hear(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise EOFError(self.log.read_text()[-2000:])
        answer: dict[str, Any] = json.loads(line)
        return answer
