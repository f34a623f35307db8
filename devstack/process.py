"""One process under supervision.

Invariants:
- the process leads a session of its own, so a Ctrl-C in the terminal reaches the supervisor alone;
- when the supervisor dies in whatever way, the kernel ends the process (Linux: parent-death signal);
- `kill` ends the process and everything it started, as a power cut would.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.fork_server import STATUS_BYTES, Order, fork

FORK_SERVER_VARIABLE = "PETPRO_FORK_SERVER"
"""Where it names a server's socket, modules of ours are forked by that server instead of started anew: for tests."""

_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class Forked:
    """A process of the fork server's, as far as asyncio's own kind is used here."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._hear_of_end(connection))

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def _hear_of_end(self, connection: socket.socket) -> int:
        connection.setblocking(False)
        with connection:
            said = await asyncio.get_running_loop().sock_recv(connection, STATUS_BYTES)
        self.returncode = int(said or -signal.SIGKILL)
        return self.returncode


class Process:
    """A running (or ended) process; made by `launch`."""

    def __init__(self, child: asyncio.subprocess.Process | Forked) -> None:
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._child.returncode

    async def wait(self) -> int:
        return await self._child.wait()

    async def stop(self, stop_signal: signal.Signals, grace_seconds: float) -> None:
        """Ask it to drain; after the grace time, kill it."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(stop_signal)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), grace_seconds)
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the process and all its descendants, and wait until it is gone."""
        family = [self.pid, *descendants(self.pid)] if self.returncode is None else []
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.wait()
        await _gone(family)


async def launch(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    guard: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a process whose output goes to the end of `log`.

    `guard` are further options of setpriv(1), for a process that must not have the supervisor's rights;
    `pass_fds` are open files that it keeps open for as long as it lives.
    """
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    env = {**inherited, "PYTHONUNBUFFERED": "1", **env}
    with log.open("ab") as output:
        if (server := os.environ.get(FORK_SERVER_VARIABLE)) and list(argv[:2]) == python_module():
            order = Order([str(word) for word in argv[2:]], env, str(cwd))
            return Process(Forked(*fork(Path(server), order, [output.fileno(), *pass_fds])))
        child = await asyncio.create_subprocess_exec(
            *_guarded(argv, death_signal, guard),
            env=env,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    return Process(child)


def python_module(*words: str) -> list[str]:
    """The command that runs a module of ours, with its arguments, under this very Python."""
    return [sys.executable, "-m", *words]


def _guarded(argv: Sequence[str | Path], death_signal: signal.Signals, guard: Sequence[str]) -> list[str]:
    command = [str(word) for word in argv]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return command
    return [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), *guard, "--", *command]


def descendants(pid: int) -> list[int]:
    """Every process below that one, as /proc tells; none where there is no /proc."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in descendants(child)]


async def _gone(pids: list[int]) -> None:
    """Wait until the kernel has removed them all: their ports and shared memory are free then."""
    while any(is_running(pid) for pid in pids):
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether that process exists and has not ended (Linux)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def tail(log: Path) -> str:
    """The last twenty lines of a log."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
