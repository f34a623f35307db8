"""Processes of test stacks, forked from one that has imported what all of them share (Linux alone has the means).

What costs seconds when a service starts are its imports. All else is as in any start: a process of its own, with its
own settings, log, session and signals, that runs its module as `__main__` and imports what is its own.

    supervisor of a stack --- a connection for each process ---> keeper, forked by the server
                                                                  +-- the process

Invariants:
- when the connection closes, since who asked has died, the keeper kills the process, unless it may outlive them;
- when the server dies, the kernel ends keepers and processes; it ends when its owner does, the test run;
- the server has one thread, no connection and no event loop, so that what it forks is as good as new.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.layout import ROOT

PRELOADED = (
    "petpro_common.service",
    "petpro_common.messaging.events",
    "petpro_common.messaging.participant",
    "petpro_common.saga.engine",
    "devstack.story",
    *("aiohttp.web", "aiosmtpd.smtp", "argon2", "httpx", "jinja2", "joserfc.jwt", "phonenumbers", "typer"),
)
"""What services and the parts of a stack share: none of their own modules, whose metrics would mix."""

STATUS_BYTES = 16
"""No process id and no status is longer."""
_LARGEST_ORDER = 64 * 1024
_MOST_FILES = 8
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Order:
    """A process that is wanted."""

    argv: Sequence[str]
    """A module and its arguments."""
    env: Mapping[str, str]
    cwd: str
    outlives: bool = False
    """Whether it lives on when who asked for it is gone."""


def start(path: Path, log: Path, owner: int) -> None:
    """Start a server that ends with the process of that id; who connects before it has its imports waits for them."""
    with _socket() as listener, log.open("wb") as output:
        listener.bind(str(path))
        listener.listen(64)
        command = [sys.executable, "-u", "-m", __name__, str(listener.fileno()), str(owner)]
        kept = [listener.fileno()]
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True, pass_fds=kept
        )
    server.returncode = 0  # it is never waited for


def fork(server: Path, order: Order, files: Sequence[int]) -> tuple[int, socket.socket]:
    """The process's id, and the connection that tells its end.

    Its output goes to the first of the files; the others it keeps open. ConnectionError when there is no server.
    """
    connection = _socket()
    connection.connect(str(server))
    socket.send_fds(connection, [json.dumps(asdict(order)).encode()], files)
    if not (said := connection.recv(STATUS_BYTES)):
        raise ConnectionError(f"the server at {server} forks nothing; see its log")
    return int(said), connection


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def take_orders(listener: socket.socket, owner: int) -> str:
    """Serve until the owner's end; return in each process that is forked, with the module that it is to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a keeper ended
    owner_ended = os.pidfd_open(owner)
    while True:
        seen, _, _ = select.select([listener.fileno(), owner_ended], [], [])
        if owner_ended in seen:
            sys.exit()
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> str:
    """Fork the process, kill it when the connection closes, tell its end; return in the process alone."""
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, files, *_ = socket.recv_fds(connection, _LARGEST_ORDER, _MOST_FILES)
    order = Order(**json.loads(said))
    pid = os.fork()
    if pid == 0:
        return _become(order, files)
    for file in files:
        os.close(file)
    with suppress(OSError):  # the supervisor may be gone
        connection.send(str(pid).encode())
    if not order.outlives:
        process = os.pidfd_open(pid)
        ended, _, _ = select.select([process, connection.fileno()], [], [])
        if process not in ended:
            os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        connection.send(str(status).encode())
    os._exit(0)


def _become(order: Order, files: list[int]) -> str:
    die_with_parent()
    os.setsid()
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.env)
    output, *kept = files
    for standard, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(file, standard)
    for file in range(3, 256):  # those of the server, which opens few
        if file not in kept:
            with suppress(OSError):
                os.close(file)
    sys.argv = list(order.argv)
    return sys.argv[0]


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that forked it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(listener: socket.socket, owner: int) -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # a collection would copy every page
    runpy.run_module(take_orders(listener, owner), run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), owner=int(sys.argv[2]))
