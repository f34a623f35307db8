"""An hour of a working day's load, and the memory of every part minute by minute: does anything grow for ever?"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from bench import audit, usage, visits
from bench.measure import REFUSED, Meter, open_meter
from bench.section import RATE, Figures, Options, Results, Row, Target
from bench.spread import middle
from bench.stage import Stage, open_stage
from devstack.layout import SERVICES

NAME = "soak"
ABOUT = "Memory of every part under a steady load far below what it can bear."
VISITS_A_SECOND = 2
PARTS = (*SERVICES, "postgres", "nats", "gateway")
START, WARM, END = "MiB at first", "MiB at minute ten", "MiB at the end"
GROWTH, ANONYMOUS = "MiB more an hour", "MiB of these anonymous"
_CALLERS = 16
_MINUTE, _LOADED_SECONDS = 60.0, 57.0
_WARM_MINUTES, _SPAN = 10, 5
_MOST_SHARE, _MOST_MIB = 0.02, 3.0
_NOTES = [
    "Services as VmRSS counts; PostgreSQL, NATS and Envoy with all their processes as Pss does, which counts what they "
    "share once. At minute ten and at the end are medians of the five minutes before.",
    "Every minute ends with a rest of two or three seconds, in which what was caused comes to its end.",
]

Samples = Sequence[Mapping[str, usage.Memory]]
"""Of every part: before the load, and after each minute of it."""


async def run(options: Options) -> Results:
    """`options.minutes` of load; afterwards the auditor looks at all that was booked and cancelled."""
    async with open_stage() as stage, open_meter(stage) as meter:
        await stage.quiet()
        samples = [_look(stage)]
        load: list[Figures] = []
        begun = time.monotonic()
        for minute in range(1, options.minutes + 1):
            load.append(await _minute(meter))
            samples.append(_look(stage))
            _tell(minute, samples[-1], load[-1])
            await asyncio.sleep(begun + minute * _MINUTE - time.monotonic())
        asked = [*targets(samples), _nothing_refused(load), await audit.verdict(stage)]
    rows = [*memory_rows(samples), Row("visit", f"{VISITS_A_SECOND} a second", [middle(load)])]
    series = {part: [one[part].resident for one in samples] for part in PARTS}
    how = f"{options.minutes} minutes of {VISITS_A_SECOND} visits a second, {visits.LOOKS} look-ups and a checkout each"
    return Results(rows, asked, _NOTES, f"{how}; half of them cancel", series)


async def _minute(meter: Meter) -> Figures:
    await meter.stage.renew_token()
    return await meter.measure(visits.visits(meter.stage), _CALLERS, _LOADED_SECONDS, arrivals=VISITS_A_SECOND)


def _tell(minute: int, memory: Mapping[str, usage.Memory], load: Figures) -> None:
    parts = ", ".join(f"{part} {one.resident:.1f}" for part, one in memory.items())
    words = f"minute {minute}: {load[RATE]:.2f} visits {RATE}, {load[REFUSED]:.2g} % refused; MiB: {parts}"
    Console(stderr=True, soft_wrap=True).print(words, highlight=False)


def _look(stage: Stage) -> Mapping[str, usage.Memory]:
    """Raises LookupError when a part has ended."""
    pids = {part: stage.stack.pid(part) for part in PARTS}
    if ended := [part for part, pid in pids.items() if pid is None]:
        raise LookupError(f"not running any more: {', '.join(ended)}")
    return {part: usage.memory(pid, alone=part in SERVICES) for part, pid in pids.items() if pid is not None}


def memory_rows(samples: Samples) -> list[Row]:
    """What each part had at the start, warm and at the end."""
    return [Row(part, "memory", [_memory(samples, part)]) for part in PARTS]


def _memory(samples: Samples, part: str) -> Figures:
    resident = [one[part].resident for one in samples]
    start, (warm, end) = resident[0], warm_and_end(resident)
    hours = (len(samples) - 1 - warm_minute(samples)) / 60
    anonymous = warm_and_end([one[part].anonymous for one in samples])[1]
    return {START: start, WARM: warm, END: end, GROWTH: (end - warm) / hours, ANONYMOUS: anonymous}


def warm_minute(samples: Sequence[object]) -> int:
    """The tenth; in a short trial, when a sixth is over."""
    return min(_WARM_MINUTES, max(1, (len(samples) - 1) // 6))


def warm_and_end(resident: Sequence[float]) -> tuple[float, float]:
    """Medians of the five minutes up to each; a password that is just being hashed is no growth."""
    warm = warm_minute(resident)
    return statistics.median(resident[max(1, warm - _SPAN + 1) : warm + 1]), statistics.median(resident[-_SPAN:])


def targets(samples: Samples) -> list[Target]:
    """What was asked of an hour of load."""
    found = {part: warm_and_end([one[part].resident for one in samples]) for part in SERVICES}
    grown = {part: end - warm for part, (warm, end) in found.items()}
    most = max(grown, key=lambda part: grown[part] - max(_MOST_MIB, found[part][0] * _MOST_SHARE))
    warm, end = found[most]
    asked = "no service grows by more than 3 MiB, or 2 %, between the tenth minute and the end"
    got = f"{most} the most, from {warm:.1f} to {end:.1f} MiB"
    return [Target(asked, got, grown[most] <= max(_MOST_MIB, warm * _MOST_SHARE))]


def _nothing_refused(load: Sequence[Figures]) -> Target:
    refused = max(figures[REFUSED] for figures in load)
    return Target("every visit is served", f"{refused:.2g} % refused in the worst minute", refused == 0)
