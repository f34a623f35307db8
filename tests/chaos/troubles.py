"""Trouble of other kinds than kill points: parts killed from outside, paused, cut off, and a broker that forgets."""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from devstack.layout import SERVICES
from devstack.process import descendants
from devstack.running import RunningStack
from tests.chaos.broker_store import HARMS
from tests.chaos.rounds import Trouble
from tests.chaos.wires import FRONTS, PLAN, Wire

EVERYBODY = ("keep", "cancel", "be_refused", "be_sent_away", "let_go", "ask_first", "think_again", "cancel")
"""The visits of a round of trouble."""

_KILLED = ("postgres", "nats", "sandbox", "mail", "gateway", *SERVICES)
_PAUSED = ("postgres", "nats", "sandbox", "gateway", *SERVICES)
_EVERYTHING = ("postgres", "nats", "sandbox", *SERVICES)
_LONGEST_PAUSE = 13.0
"""Longer than the broker waits for an acknowledgement."""

_READERS = ("booking", "payment", "notification")


async def _kill(times: int, parts: Sequence[str], stack: RunningStack) -> int:
    """Parts are killed at once, and come back."""
    for _ in range(times):
        await asyncio.sleep(random.uniform(0.2, 2))
        await asyncio.gather(*(stack.kill(part) for part in parts))
        for part in (part for part in parts if part not in SERVICES):
            await stack.start_part(part)
        await asyncio.gather(*(stack.start_part(part) for part in parts if part in SERVICES))
    return times


async def _pause(times: int, part: str, stack: RunningStack) -> int:
    """A part stops in whatever it does, and goes on after a while as if nothing had been."""
    for _ in range(times):
        await asyncio.sleep(random.uniform(0.2, 2))
        pid = stack.pid(part)
        assert pid is not None
        family = [pid, *descendants(pid)]
        _signal(family, signal.SIGSTOP)
        await asyncio.sleep(random.uniform(1, _LONGEST_PAUSE))
        _signal(family, signal.SIGCONT)
    return times


async def _cut(times: int, wires: Mapping[str, Wire], name: str, _stack: RunningStack) -> int:
    """Two parts do not hear of each other for a while."""
    wire = wires[name]
    for number in range(times):
        await asyncio.sleep(random.uniform(0.2, 2))
        wire.cut()
        await asyncio.sleep(random.uniform(1, _LONGEST_PAUSE))
        wire.mend(breaking=number % 2 == 0)
    return times


async def _forget(times: int, harm: str, stack: RunningStack) -> int:
    """The broker's store is harmed while it is down; what is in it has not all been read, since readers were away."""
    store = stack.run / "nats" / "data"
    copy = stack.run / "nats" / "copy"
    for _ in range(times):
        await stack.kill("nats")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(store, copy)
        await stack.start_part("nats")
        await asyncio.sleep(random.uniform(2, 5))
        reader = random.choice(_READERS)
        await stack.kill(reader)
        await asyncio.sleep(random.uniform(0.5, 2))
        await stack.kill("nats")
        HARMS[harm](store, copy)
        await stack.start_part("nats")
        await stack.start_part(reader)
    return times


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, number)


def troubles(times: int, wires: Mapping[str, Wire]) -> dict[str, Trouble]:
    """Every kind of trouble by its name, each made so many times."""
    return {
        **{f"{part} is killed": partial(_kill, times, [part]) for part in _KILLED},
        "everything is killed at once": partial(_kill, times, _EVERYTHING),
        **{f"{part} is paused": partial(_pause, times, part) for part in _PAUSED},
        **{f"{name.replace('-', ' and ')} are cut off": partial(_cut, times, wires, name) for name in (*PLAN, *FRONTS)},
        **{f"the broker's store is {harm}": partial(_forget, times, harm) for harm in HARMS},
    }
