"""Booking as one, two and four processes, and clients that go to each in turn; also with a core for each process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from bench import audit, work
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate
from bench.section import Figures, Options, Results
from bench.stage import Stage, open_stage
from devstack.layout import ROOT
from devstack.part import until
from devstack.process import launch
from devstack.services import program, serves_health, settings

NAME = "replicas"
ABOUT = "Holds by 64 callers at so many processes of booking; ratios are to one."
REPLICAS = (1, 2, 4)
_CALLERS = 64
_PINNED = "each on its core"
_START_SECONDS, _STOP_SECONDS = 60, 10
AT = "64 callers"


async def run(options: Options) -> Results:
    """With the stack's own booking and up to three more."""
    async with open_stage() as stage, open_meter(stage) as meter, more_bookings(stage, max(REPLICAS) - 1) as more:
        contestants = [
            Contestant(_name(count), AT, _measured(meter, more[: count - 1], options.seconds), _beside(count))
            for count in REPLICAS
        ]
        cores = len(os.sched_getaffinity(0))
        contestants += [
            Contestant(f"{_name(count)}, {_PINNED}", AT, _pinned(meter, more[: count - 1], options.seconds), _name(1))
            for count in REPLICAS
            if count <= cores
        ]
        rows = await alternate(contestants, options.rounds)
        note = f"All processes, PostgreSQL and the client share {cores} cores here: replicas pay where cores are idle."
        return Results(rows, [await audit.verdict(stage)], [note])


def _measured(meter: Meter, more: list[str], seconds: float) -> Callable[[], Awaitable[Figures]]:
    async def once() -> Figures:
        await meter.stage.renew_token()
        return await meter.measure(work.hold(meter.stage, *more), _CALLERS, seconds)

    return once


def _pinned(meter: Meter, more: list[str], seconds: float) -> Callable[[], Awaitable[Figures]]:
    """As `_measured`, with each process of booking on one core for as long as it lasts."""
    measured = _measured(meter, more, seconds)

    async def once() -> Figures:
        own = meter.stage.stack.pid("booking")
        pids = [pid for pid in (own, *meter.stage.further["booking"]) if pid][: len(more) + 1]
        cores = os.sched_getaffinity(0)
        for core, pid in zip(sorted(cores), pids, strict=False):
            _pin(pid, {core})
        try:
            return await measured()
        finally:
            for pid in pids:
                _pin(pid, cores)

    return once


def _pin(pid: int, cores: Collection[int]) -> None:
    """Has all threads of a process run on these cores alone."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def _name(count: int) -> str:
    return f"{count} of booking"


def _beside(count: int) -> str:
    return "" if count == 1 else _name(1)


@asynccontextmanager
async def more_bookings(stage: Stage, count: int) -> AsyncIterator[list[str]]:
    """Further processes of booking with the same settings on ports of their own; their addresses."""
    processes, addresses = [], []
    try:
        for number in range(count):
            ports = stage.around.ports
            name = f"bench-{number}"
            env = settings(stage.around, "booking") | {
                "PETPRO_BOOKING_GRPC_ADDRESS": ports.address(f"{name}.grpc"),
                "PETPRO_BOOKING_METRICS_ADDRESS": ports.address(f"{name}.metrics"),
                "PETPRO_BOOKING_HOLD_SECONDS": "86400",
            }
            log = stage.around.layout.log(name)
            processes.append(await launch(program("booking"), env=env, cwd=ROOT, log=log))
            addresses.append(ports.address(f"{name}.grpc"))
        async with asyncio.timeout(_START_SECONDS):
            for address in addresses:
                await until(serves_health(address, "readiness"))
        stage.further["booking"] = [process.pid for process in processes]
        yield addresses
    finally:
        stage.further.clear()
        await asyncio.gather(*(process.stop(signal.SIGTERM, _STOP_SECONDS) for process in processes))
