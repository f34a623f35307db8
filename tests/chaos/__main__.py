"""`make chaos`: kills and cuts and forgets, over and over, and counts what was lost, doubled or stuck.

Every finished round is a line of the log, so that a run that was stopped goes on where it was. Exit code 0 when
nothing was lost, doubled or stuck and every point was reached.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path

from rich.console import Console
from rich.table import Table

from devstack import testing
from tests.chaos import wires
from tests.chaos.points import BOOKING, NOTIFICATION, PAYMENT, Point
from tests.chaos.rounds import Line, kill_round, trouble_round
from tests.chaos.troubles import EVERYBODY, troubles
from tests.chaos.verdict import Verdict

QUICK_HOLDS = {
    "booking": {
        "PETPRO_BOOKING_HOLD_SECONDS": "8",
        "PETPRO_BOOKING_EXPIRY_CHECK_SECONDS": "0.5",
        "PETPRO_BOOKING_HOLD_MOST_PER_PERSON": "100",  # who lets one hold after the other run out
    }
}
SETTINGS = {**testing.IMPATIENT, **QUICK_HOLDS}

console = Console(soft_wrap=True, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=9, help="for each kill point")
    parser.add_argument("--times", type=int, default=3, help="for each other kind of trouble")
    parser.add_argument("--only", default="*", help="names of points or troubles, with shell wildcards")
    parser.add_argument("--log", type=Path, default=Path(".chaos/log.jsonl"))
    wanted = parser.parse_args()
    wanted.log.parent.mkdir(parents=True, exist_ok=True)
    folder = testing.open_folder()
    try:
        asyncio.run(_kill(folder / "kills", wanted.kills, wanted.only, wanted.log))
        asyncio.run(_trouble(folder / "troubles", wanted.times, wanted.only, wanted.log))
    finally:
        testing.close_folder(folder, keep_logs=True)
    lines = _logged(wanted.log)
    _print(lines)
    return 0 if lines and all(line.runs and not (line.lost or line.doubled or line.stuck) for line in lines) else 1


async def _kill(run: Path, kills: int, only: str, log: Path) -> None:
    left = list(_rounds(only, {line.name for line in _logged(log)}))
    if not left:
        return
    console.print(f"{len(left)} rounds of kills are left; starting the platform")
    stack = testing.start_stack(run, env=SETTINGS)
    for number, points in enumerate(left, 1):
        began = time.monotonic()
        _keep(log, f"{number}/{len(left)}", began, *await kill_round(stack, points, kills))
    testing.stop_stack(stack)


async def _trouble(run: Path, times: int, only: str, log: Path) -> None:
    done = {line.name for line in _logged(log)}
    async with wires.laid(run) as wiring:
        every = troubles(times, wiring.wires)
        left = [name for name in every if fnmatchcase(name, only) and name not in done]
        if not left:
            return
        console.print(f"{len(left)} rounds of other trouble are left; starting the platform")
        env = {part: {**SETTINGS.get(part, {}), **wiring.settings.get(part, {})} for part in wiring.settings}
        starting = asyncio.to_thread(testing.start_stack, run, env=env)
        stack, _ = await asyncio.gather(starting, wiring.lay_fronts())
        for number, name in enumerate(left, 1):
            began = time.monotonic()
            _keep(log, f"{number}/{len(left)}", began, *await trouble_round(stack, name, every[name], EVERYBODY))
        await asyncio.to_thread(testing.stop_stack, stack)


def _rounds(only: str, done: set[str]) -> Iterator[list[Point]]:
    """Some points of each part that are left, so that several parts die in one round."""
    of_parts = ([point for point in points if point.name not in done] for points in (BOOKING, PAYMENT, NOTIFICATION))
    for rows in zip_longest(*(_batched(points) for points in of_parts), fillvalue=()):
        if points := [point for row in rows for point in row if fnmatchcase(point.name, only)]:
            yield points


def _batched(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """Three by three: a round's rest takes longer than its kills."""
    return (points[first : first + 3] for first in range(0, len(points), 3))


def _keep(log: Path, number: str, began: float, lines: Sequence[Line], verdict: Verdict) -> None:
    """Writes a finished round into the log, and says how it went."""
    with log.open("a") as file:
        for line in lines:
            file.write(json.dumps({**asdict(line), "faults": verdict.faults}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    said = "; ".join(f"{line.name} x{line.runs}" for line in lines)
    took = f"{time.monotonic() - began:.0f} s, {verdict.sagas} sagas, {len(verdict.faults)} faults"
    console.print(f"{number} in {took}: {said}")
    for fault in verdict.faults:
        console.print(f"    {fault}", markup=False)


def _logged(log: Path) -> list[Line]:
    if not log.exists():
        return []
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    return [Line(**{name: value for name, value in row.items() if name != "faults"}) for row in rows]


def _print(lines: Sequence[Line]) -> None:
    table = Table("what", "runs", "sagas", "lost", "doubled", "stuck")
    for line in lines:
        table.add_row(*(str(value) for value in asdict(line).values()))
    console.print(table)
    totals = f"{sum(line.runs for line in lines)} runs at {len(lines)} points"
    wrong = {name: sum(getattr(line, name) for line in lines) for name in ("lost", "doubled", "stuck")}
    console.print(f"{totals}; lost {wrong['lost']}, doubled {wrong['doubled']}, stuck {wrong['stuck']}")


if __name__ == "__main__":
    sys.exit(main())
