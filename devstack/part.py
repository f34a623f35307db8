"""What a part of the stack is, as data; and the checks by which a part says that it is ready."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from devstack.api import NO_TLS
from devstack.layout import ROOT
from devstack.process import launch, tail

POLL_SECONDS = 0.05

Check = Callable[[], Awaitable[bool]]
"""Answers whether the part is ready now; an error of the network means not yet."""

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Part:
    """One process of the stack: how to start it, how to know that it is ready, how to end it."""

    name: str
    argv: Sequence[str | Path]
    ready: Check
    address: str
    """What people connect to."""
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Parts that must be ready before this one is prepared and started."""
    prepare: Step | None = None
    """Work before each start, such as migrations."""
    preparation: str = "is prepared"
    """What that work is, for people."""
    settle: Step | None = None
    """Work after the first readiness, before others may use it, such as making roles."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 20.0
    death_signal: signal.Signals = signal.SIGKILL
    guard: Sequence[str] = ()
    stop_rank: int = 1
    """Parts end in this order: gateway 0, services 1, what they send to 2, the broker 3, the database 4."""


class PartFailed(Exception):
    """A part of the stack did not come up."""

    def __init__(self, part: str, reason: str, log: str) -> None:
        super().__init__(f"{part} {reason}")
        self.part = part
        self.log = log


async def run_to_end(
    part: str, argv: Sequence[str | Path], env: Mapping[str, str], log: Path, guard: Sequence[str] = ()
) -> None:
    """Run a command that prepares a part; PartFailed with its output when it fails."""
    process = await launch(argv, env=env, cwd=ROOT, log=log, guard=guard)
    try:
        status = await process.wait()
    finally:
        await process.kill()
    if status != 0:
        raise PartFailed(part, f"could not be prepared: {Path(argv[0]).name} ended with status {status}", tail(log))


async def until(check: Check) -> None:
    """Return when the check answers yes."""
    while not await _passes(check):
        await asyncio.sleep(POLL_SECONDS)


async def _passes(check: Check) -> bool:
    try:
        return await check()
    except (OSError, TimeoutError):
        return False


async def connect(address: str) -> None:
    """Connect, and hang up again. Raises OSError when nobody listens there."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()


def answers_http(url: str) -> Check:
    """Ready when a GET is answered with 200."""

    async def check() -> bool:
        try:
            async with httpx.AsyncClient(timeout=5, trust_env=False, verify=NO_TLS) as client:
                return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    return check


def accepts_connections(host: str, port: int) -> Check:
    """Ready when a connection is accepted and greeted."""

    async def check() -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return bool(await asyncio.wait_for(reader.read(1), 2))
        finally:
            writer.close()

    return check
