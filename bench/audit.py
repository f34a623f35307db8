"""The auditor's word after a bench: what was measured was also right."""

import asyncio
import sys

from bench.section import Target
from bench.stage import Stage

_QUIET_SECONDS = 6


async def verdict(stage: Stage) -> Target:
    """Waits until all is quiet, and runs `petproctl audit` over the stage."""
    await asyncio.sleep(_QUIET_SECONDS)
    run = str(stage.folder / "run")
    command = [sys.executable, "-m", "petproctl", "audit", "--run", run, "--grace", str(_QUIET_SECONDS - 1)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    said = (await process.communicate())[0].decode().strip()
    clean = process.returncode == 0
    return Target("the auditor finds nothing wrong afterwards", "clean" if clean else said[-2000:], clean)
