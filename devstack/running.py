"""A stack that runs in another process, seen from outside: for tests and tools."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devstack.control import ControlRefused, ask


class RunningStack:
    """Reads `stack.json` anew at each question, so that what it says is true after a part came back."""

    def __init__(self, run: Path) -> None:
        self.run = run

    @property
    def endpoints(self) -> dict[str, Any]:
        return dict(json.loads((self.run / "stack.json").read_text()))

    @property
    def gateway_url(self) -> str:
        return str(self.endpoints["gateway_url"])

    def pid(self, part: str) -> int | None:
        """The process id of a part; None while it is down."""
        pid = self.endpoints["parts"][part]["pid"]
        return None if pid is None else int(pid)

    def state(self, part: str) -> str:
        return str(self.endpoints["parts"][part]["state"])

    def log(self, part: str) -> str:
        """Everything the part has written."""
        return Path(self.endpoints["parts"][part]["log"]).read_text(errors="replace")

    async def kill(self, part: str) -> None:
        """SIGKILL it, as a crash would."""
        await self._ask("kill", part)

    async def stop_part(self, part: str) -> None:
        """Let it drain and end."""
        await self._ask("stop", part)

    async def start_part(self, part: str, argv: Sequence[str] = ()) -> None:
        """Start it where it was, or `argv` in its place for this once, and wait until it is ready."""
        await self._ask("start", part, argv)

    async def _ask(self, verb: str, part: str, argv: Sequence[str] = ()) -> None:
        control = self.endpoints["control"]
        if control is None:
            raise ControlRefused(f"the stack in {self.run} was stopped")
        await ask(Path(control), verb, part, argv)
