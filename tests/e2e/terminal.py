"""An administrator's terminal: petproctl as a process of its own, on the stack of a test."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from devstack.running import RunningStack


@dataclass
class Said:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def petproctl(stack: RunningStack, group: str, *words: str, typed: str = "") -> Said:
    """`petproctl <group> ...` as the stack's administrator, who types `typed` when asked."""
    command = ["-m", "petproctl", group, "--run", str(stack.run), *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await process.communicate(typed.encode())
    return Said(process.returncode or 0, out.decode(), err.decode())
