"""What the hot ways cost in CPU, now against what was recorded, so that a change for the worse is seen in review.

The machines that this runs on count no instructions, so the unit is a fixed piece of Python, timed in the same round:
how fast the machine is, and how busy, cancels out. `--record` writes `recorded.json` anew.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path

from bench import supply, work
from bench.measure import Meter, cpu_name, open_meter
from bench.rounds import Contestant, alternate
from bench.section import RATE, Figures, Options, Results, Row
from bench.spread import middle
from bench.stage import open_stage

NAME = "instructions"
ABOUT = "CPU of one request in units of a fixed piece of Python; the servers' own, at 8 callers."
RECORDED = Path(__file__).with_name("recorded.json")
UNIT = "Python of the reference, us"
_CALLERS, _AT = 8, "8 callers"
_PARTS = ("booking", "payment", "notification", "postgres", "nats", "gateway")
_STEPS, _PAUSE_SECONDS = 20_000, 0.3
_NOTED = 0.1
_SMALL = 0.03  # of the whole: what takes less is noise


async def run(options: Options) -> Results:
    """Holds, look-ups, and cancellations to the end of their saga."""
    async with open_stage() as stage, open_meter(stage) as meter:
        booking_id = (await supply.bookings(meter, 1))[0]

        async def hold() -> Figures:
            await stage.renew_token()
            return await in_units(meter.measure(work.hold(stage), _CALLERS, options.seconds))

        async def look_up() -> Figures:
            return await in_units(meter.measure(work.look_up(stage, [booking_id]), _CALLERS, options.seconds))

        contestants = [
            Contestant("hold", _AT, hold, by="booking"),
            Contestant("look-up of a booking", _AT, look_up, by="booking"),
            Contestant("cancellation saga", _AT, lambda: _cancel(meter, options.seconds), by="booking"),
        ]
        rows = await alternate(contestants, options.rounds)
    recorded = json.loads(RECORDED.read_text())
    if options.record:
        RECORDED.write_text(json.dumps(to_record(rows), indent=2) + "\n")
    return Results(rows, notes=compared(rows, recorded))


async def _cancel(meter: Meter, seconds: float) -> Figures:
    bookings = await supply.bookings(meter, round(60 * seconds))
    cancel = work.cancellation(meter.stage, bookings)
    return await in_units(meter.measure(cancel, _CALLERS, seconds, drains=True))


async def in_units(measuring: Awaitable[Figures]) -> Figures:
    """CPU of each part as multiples of the reference, which is timed meanwhile: it shares the machine with the load."""
    units: list[float] = []

    async def time_reference() -> None:
        while True:
            units.append(await asyncio.to_thread(reference))
            await asyncio.sleep(_PAUSE_SECONDS)

    timing = asyncio.create_task(time_reference())
    figures = await measuring
    timing.cancel()
    unit = statistics.median(units)
    spent = {part: figures.get(cpu_name(part), 0.0) / 1000 / unit for part in _PARTS}
    least = _SMALL * sum(spent.values())
    named = {part: units for part, units in spent.items() if units > least}
    return {**named, RATE: figures[RATE], UNIT: unit * 1e6}


def reference() -> float:
    """CPU seconds of the fixed piece of Python: dicts, strings and calls, as in a service."""
    began = time.thread_time()
    seen: dict[str, int] = {}
    for number in range(_STEPS):
        name = f"step {number % 97}"
        seen[name] = seen.get(name, 0) + len(name.split(" "))
    return time.thread_time() - began


def to_record(rows: list[Row]) -> Mapping[str, Mapping[str, float]]:
    """What is kept for the next time: units of each part, by what was measured."""
    return {row.what: {part: round(units, 3) for part, units in _parts(row).items()} for row in rows}


def compared(rows: list[Row], recorded: Mapping[str, Mapping[str, float]]) -> list[str]:
    """One line for each way: now against recorded."""
    lines = []
    for row in rows:
        before = recorded.get(row.what, {})
        for part, now in _parts(row).items():
            was = before.get(part)
            change = f"{now / was - 1:+.0%}" if was else "new"
            mark = " <- more" if was and now / was > 1 + _NOTED else ""
            lines.append(f"{row.what}, {part}: {now:.3f} now, {was or 0:.3f} recorded, {change}{mark}")
    return lines


def _parts(row: Row) -> Mapping[str, float]:
    return {part: units for part, units in middle(row.rounds).items() if part in _PARTS}
