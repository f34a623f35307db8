"""One stack per folder: who runs it holds a lock, and so does every process of the stack.

A new stack in the same folder can start only when the last process of an earlier one is gone, also when its
supervisor was killed.
"""

import asyncio
import fcntl
import os
from pathlib import Path

_PATIENCE_SECONDS = 10.0  # that the processes of a supervisor that just died may take to go


class StackBusy(Exception):
    """A stack already runs in that folder."""


async def own(lock: Path) -> int:
    """Become the owner and return the open lock file; StackBusy when somebody else is, and lives."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while not _locked(file):
        owner = os.pread(file, 20, 0).decode().strip()
        if _lives(owner) or asyncio.get_running_loop().time() > deadline:
            os.close(file)
            raise StackBusy(f"A stack already runs in {lock.parent} (process {owner or 'unknown'}).")
        await asyncio.sleep(0.05)
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
    return file


def is_owned(lock: Path) -> bool:
    """Whether a stack, or what is left of one, runs in the folder of that lock."""
    if not lock.exists():
        return False
    file = os.open(lock, os.O_RDWR)
    try:
        return not _locked(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
