"""An administrator's terminal: petproctl on the stack of a test, in this process, since starting takes seconds."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from devstack.running import RunningStack
from petproctl.main import app


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
    return await asyncio.to_thread(run, stack, group, *words, typed=typed)


def run(stack: RunningStack, group: str, *words: str, typed: str = "") -> Said:
    """The same, while everything else in this process waits."""
    done = CliRunner().invoke(app, [group, "--run", str(stack.run), *words], input=typed)
    return Said(done.exit_code, done.stdout, done.stderr)
