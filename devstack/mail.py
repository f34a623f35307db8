"""A mail server that keeps every mail as an `.eml` file and sends none on.

Runs as a process of its own: `python -m devstack.mail HOST:PORT FOLDER`. File names sort by arrival.
"""

import asyncio
import signal
import sys
import time
from itertools import count
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.layout import Layout, write_private
from devstack.part import Part, accepts_connections
from devstack.process import python_module


class Keep:
    """Writes each mail into the folder before it is accepted; one written half is never seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Called by aiosmtpd with a whole mail; the answer is the SMTP reply."""
        content = envelope.content or b""
        text = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
        name = f"{time.time_ns()}-{next(self._numbers):06d}.eml"
        write_private(self._folder / name, f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\n{_unix_lines(text)}")
        return "250 kept"


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def part(layout: Layout, port: int) -> Part:
    """The mail server as a part of the stack."""
    address = f"127.0.0.1:{port}"
    return Part(
        name="mail",
        argv=python_module("devstack.mail", address, str(layout.mail)),
        ready=accepts_connections("127.0.0.1", port),
        address=address,
        stop_rank=2,
    )


async def _serve(address: str, folder: Path) -> None:
    host, _, port = address.rpartition(":")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    keep = Keep(folder)
    server = await loop.create_server(lambda: SMTP(keep, loop=loop, enable_SMTPUTF8=True), host, int(port))
    async with server:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
