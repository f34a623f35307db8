"""What the machine gives: disk, PostgreSQL, driver, JetStream and gRPC, each by itself, as the stack sets them."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import nats
import psycopg
from nats.js import JetStreamContext

from bench import work
from bench.bare_envoy import open_bare_envoy
from bench.limits_database import Limits, open_limits
from bench.measure import open_meter
from bench.rounds import Contestant, alternate, callers
from bench.section import P50, P95, P99, RATE, Figures, Options, Results
from bench.stage import Stage, open_stage

NAME = "limits"
ABOUT = "What limits, each by itself: synchronous_commit and fsync on, file storage; ratios are to pgbench's hold."
CALLERS = (1, 8, 32, 128)
HOLD = "pgbench hold, five statements"
_SCRIPTS = {HOLD: "hold", "pgbench hold, one statement (CTE)": "hold_cte"} | {
    f"pgbench {name}": name for name in ("confirm", "cancel")
}
_BEHIND_ENVOY = "empty gRPC method, behind a bare Envoy"
_STREAM, _SUBJECT, _PAYLOAD = "BENCH", "bench.published", b"x" * 400
_PAGE = b"x" * 8192
_NOTES = [
    "An empty transaction is BEGIN, SELECT 1, COMMIT through psycopg, one process; pgbench uses two threads.",
    "A publish is acknowledged by JetStream when it is in its file; the server syncs that file every two minutes.",
]


async def run(options: Options) -> Results:
    """At each number of callers; the disk alone."""
    async with (
        open_stage() as stage,
        open_limits(stage) as limits,
        open_meter(stage) as meter,
        open_bare_envoy(stage) as bare,
    ):
        broker = await nats.connect(stage.around.nats.operator_url)
        stream = broker.jetstream(publish_async_max_pending=20_000)
        await stream.add_stream(name=_STREAM, subjects=[_SUBJECT], max_msgs=100_000)
        contestants = [
            Contestant("write 8 KiB and fdatasync", callers(1), lambda: fsyncs(stage.folder, options.seconds))
        ]
        for number in CALLERS:
            contestants += _of_postgres(limits, number, options.seconds)
            contestants += _of_others(stage, stream, number, options.seconds)
            empty = work.empty(stage)
            through = replace(empty, address=bare)
            contestants.append(_contestant("empty gRPC method", number, meter.measure, empty, number, options.seconds))
            contestants.append(_contestant(_BEHIND_ENVOY, number, meter.measure, through, number, options.seconds))
        try:
            return Results(await alternate(contestants, options.rounds), notes=_NOTES)
        finally:
            await stream.delete_stream(_STREAM)
            await broker.close()


def _contestant(what: str, number: int, once: Callable[..., Awaitable[Figures]], *arguments: object) -> Contestant:
    return Contestant(what, callers(number), lambda: once(*arguments), "" if what == HOLD else HOLD)


def _of_postgres(limits: Limits, number: int, seconds: float) -> list[Contestant]:
    scripts = _SCRIPTS.items()
    return [_contestant(what, number, limits.pgbench, script, number, seconds) for what, script in scripts]


def _of_others(stage: Stage, stream: JetStreamContext, number: int, seconds: float) -> list[Contestant]:
    return [
        _contestant("empty transaction, psycopg", number, empty_transactions, stage.dsn(), number, seconds),
        _contestant("JetStream publish, acknowledged", number, publishes, stream, number, seconds),
        _contestant("JetStream publish, window open", number, window_of_publishes, stream, number, seconds),
    ]


async def fsyncs(folder: Path, seconds: float) -> Figures:
    """A page written and forced to the disk, over and over, on the disk where PostgreSQL's log is."""
    return await asyncio.to_thread(_fsyncs, folder / "fsync", seconds)


def _fsyncs(file: Path, seconds: float) -> Figures:
    taken, until = [], time.perf_counter() + seconds
    with file.open("wb", buffering=0) as disk:
        while (began := time.perf_counter()) < until:
            os.pwrite(disk.fileno(), _PAGE, 0)
            os.fdatasync(disk.fileno())
            taken.append(time.perf_counter() - began)
    return _figures(taken, seconds)


async def empty_transactions(dsn: str, number: int, seconds: float) -> Figures:
    """A connection for each caller."""
    connections = [await psycopg.AsyncConnection.connect(dsn) for _ in range(number)]
    try:
        return await _loops([lambda one=one: _empty_transaction(one) for one in connections], seconds)  # type: ignore[misc]
    finally:
        for connection in connections:
            await connection.close()


async def _empty_transaction(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    async with connection.transaction():
        await connection.execute("SELECT 1", prepare=True)


async def publishes(stream: JetStreamContext, number: int, seconds: float) -> Figures:
    """Each caller waits for the acknowledgement of its message."""
    return await _loops([lambda: stream.publish(_SUBJECT, _PAYLOAD)] * number, seconds)


async def window_of_publishes(stream: JetStreamContext, number: int, seconds: float) -> Figures:
    """A window of so many messages not yet acknowledged, as the relay publishes."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        waiting = [await stream.publish_async(_SUBJECT, _PAYLOAD) for _ in range(number)]
        await asyncio.gather(*waiting)
        taken += [(time.perf_counter() - began)] * number
    return _figures(taken, seconds)


async def _loops(operations: list[Callable[[], Awaitable[object]]], seconds: float) -> Figures:
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def loop(operation: Callable[[], Awaitable[object]]) -> None:
        while (began := time.perf_counter()) < until:
            await operation()
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*map(loop, operations))
    return _figures(taken, seconds)


def _figures(taken: list[float], seconds: float) -> Figures:
    cuts = statistics.quantiles(taken, n=100)
    return {RATE: len(taken) / seconds, P50: cuts[49] * 1000, P95: cuts[94] * 1000, P99: cuts[98] * 1000}
