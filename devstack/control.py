"""How others reach a running stack: a Unix socket that answers one line of JSON with one line of JSON.

Request: `{"verb": "status" | "kill" | "stop" | "start", "part": ..., "argv": [...]}`; with `start`, `argv` may say
what to run instead for this once.
Answer: `{"ok": true, "parts": {...}}` or `{"ok": false, "error": ...}`.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devstack.part import PartFailed

if TYPE_CHECKING:
    from devstack.stack import Stack


class ControlRefused(Exception):
    """The stack could not do what it was asked."""


class Control:
    """The listening side; made by `open`."""

    def __init__(self, stack: "Stack", folder: Path) -> None:
        self.path = folder / "control"
        self._stack = stack
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, stack: "Stack") -> "Control":
        # A folder of its own under /tmp, since a socket's path may have about 100 characters only.
        control = cls(stack, Path(tempfile.mkdtemp(prefix="petpro-", dir="/tmp")))
        control._server = await asyncio.start_unix_server(control._serve, control.path)
        return control

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        forget(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            await self._carry_out(request["verb"], request.get("part"), request.get("argv") or ())
        except PartFailed as failure:
            return {"ok": False, "error": f"{failure}\n{failure.log}"}
        except (LookupError, ValueError) as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "parts": self._stack.endpoints["parts"]}

    async def _carry_out(self, verb: str, part: str, argv: Sequence[str]) -> None:
        match verb:
            case "status":
                return
            case "kill":
                await self._stack.kill(part)
            case "stop":
                await self._stack.stop_part(part)
            case "start":
                await self._stack.start_part(part, argv)
            case _:
                raise ValueError(f"no such verb: {verb}")


def is_heard(control: Path) -> bool:
    """Whether somebody listens there: a folder that was copied from a running stack's names its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(control))
        except OSError:
            return False
    return True


def forget(control: Path) -> None:
    """Remove a socket and its folder; also one that a killed supervisor left."""
    shutil.rmtree(control.parent, ignore_errors=True)


async def ask(control: Path, verb: str, part: str | None = None, argv: Sequence[str] = ()) -> dict[str, Any]:
    """Ask a running stack, and return its parts; ControlRefused when it says no or is gone."""
    try:
        reader, writer = await asyncio.open_unix_connection(control)
    except OSError as error:
        raise ControlRefused(f"no stack listens at {control}: {error}") from error
    writer.write(json.dumps({"verb": verb, "part": part, "argv": list(argv)}).encode() + b"\n")
    answer = json.loads(await reader.readline() or '{"ok": false, "error": "the stack went away"}')
    writer.close()
    await writer.wait_closed()
    if not answer["ok"]:
        raise ControlRefused(answer["error"])
    return dict(answer["parts"])
