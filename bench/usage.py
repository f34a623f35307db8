"""What processes use: CPU time and memory, as the kernel counts them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.process import descendants
from devstack.stack import Stack

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024.0
_UTIME = 11  # of the fields behind the command's name in /proc/<pid>/stat
SERVERS = ("account", "catalog", "booking", "payment", "notification", "postgres", "nats", "gateway", "sandbox")


def cpu_seconds(stack: Stack, further: Mapping[str, Sequence[int]]) -> Mapping[str, float]:
    """CPU time since its start of each part that runs, with all processes below it and `further` ones of its kind."""
    pids = {name: [pid] for name in SERVERS if name in stack.parts and (pid := stack.pid(name))}
    return {name: sum(map(_family_cpu, [*pids.get(name, ()), *further.get(name, ())])) for name in {**pids, **further}}


@dataclass(frozen=True)
class Memory:
    """MiB in RAM: all of it, and what no file backs."""

    resident: float
    anonymous: float


def memory(pid: int, *, alone: bool) -> Memory:
    """Of a process `alone` as RSS; otherwise of it and all below it, what they share counted once (Pss)."""
    rolled_up = [_rolled_up(one) for one in ([pid] if alone else [pid, *descendants(pid)])]
    names = ("Rss", "Anonymous") if alone else ("Pss", "Pss_Anon")
    return Memory(*(sum(one.get(name, 0) for one in rolled_up) / _MIB for name in names))


def _rolled_up(pid: int) -> Mapping[str, int]:
    """KiB by kind; none when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.partition(":")[0]: int(line.split()[1]) for line in lines}


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / _MIB


def _family_cpu(pid: int) -> float:
    return sum(map(_cpu, [pid, *descendants(pid)]))


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return sum(int(ticks) for ticks in fields[_UTIME : _UTIME + 4]) / _TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name; none when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
