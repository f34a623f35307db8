"""Free loopback ports that a stack keeps for as long as its folder lives.

A part that is killed must come back on the port it had, so a port may not be taken meanwhile by somebody's
outgoing connection. Ports are therefore chosen below the range from which kernels hand out ports for those.

Nor may two stacks that start at the same time choose the same port before either listens on it. Whoever chooses a
port claims it on this machine for as long as they live, by an abstract socket of its name.
"""

import json
import random
import socket
from pathlib import Path

from devstack.layout import write_private_json

LOWEST, HIGHEST = 20_000, 31_999

_claims: dict[int, socket.socket] = {}


class Ports:
    """Ports by name, remembered in a file."""

    def __init__(self, file: Path, known: dict[str, int]) -> None:
        self._file = file
        self._known = known

    @classmethod
    def for_new_stack(cls, file: Path) -> "Ports":
        """The ports that this folder had before, without those that somebody else took or claimed since."""
        return cls(file, {name: port for name, port in _recorded(file).items() if is_free(port) and _claim(port)})

    @classmethod
    def of_running_stack(cls, file: Path) -> "Ports":
        """The ports that the parts of a running stack have now."""
        return cls(file, _recorded(file))

    def of(self, name: str) -> int:
        """The port of that name: always the same one while this object lives."""
        if name not in self._known:
            self._known[name] = free_port()
            write_private_json(self._file, self._known)
        return self._known[name]

    def address(self, name: str) -> str:
        """`127.0.0.1:<port>`."""
        return f"127.0.0.1:{self.of(name)}"


def _recorded(file: Path) -> dict[str, int]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def free_port() -> int:
    """A port that no server has, and that nobody else will choose while this process lives.

    Raises OSError when there is none.
    """
    for _ in range(1000):
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 -- a port is no secret
        if port not in _claims and is_free(port) and _claim(port):
            return port
    raise OSError(f"no free loopback port between {LOWEST} and {HIGHEST}")


def _claim(port: int) -> bool:
    """Whether it is this process's now, or was already."""
    if port in _claims:
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0petpro-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on that loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
