"""What processes use: CPU time and memory, as the kernel counts them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from devstack.stack import Stack

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024.0
_UTIME = 11  # of the fields behind the command's name in /proc/<pid>/stat
SERVERS = ("account", "catalog", "booking", "payment", "notification", "postgres", "nats", "gateway", "sandbox")


def cpu_seconds(stack: Stack) -> Mapping[str, float]:
    """CPU time since its start of each part that runs, with that of all processes below it."""
    pids = {name: pid for name in SERVERS if name in stack.parts and (pid := stack.pid(name))}
    parents = _parents()
    return {name: sum(map(_cpu, _family(pid, parents))) for name, pid in pids.items()}


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds of processes since their start, ended children included."""
    return sum(map(_cpu, pids))


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / _MIB


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return sum(int(ticks) for ticks in fields[_UTIME : _UTIME + 4]) / _TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name; none when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parents() -> Mapping[int, int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid: int(fields[1]) for pid in pids if (fields := _stat(pid))}


def _family(pid: int, parents: Mapping[int, int]) -> list[int]:
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found
