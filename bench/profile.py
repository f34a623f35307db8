"""Where the time goes: flame graphs of booking under holds, and of booking and payment under cancellation sagas."""

import asyncio
import shutil
import sys
from pathlib import Path

from bench import supply, work
from bench.load import Work
from bench.measure import Meter, open_meter
from bench.results import FILE
from bench.section import RATE, Options, Results, Row
from bench.stage import open_stage
from devstack.layout import ROOT

NAME = "profile"
ABOUT = "Flame graphs by py-spy, which slows what it looks at: rates here are not to be compared."
_CALLERS = 32
_HERTZ = "200"
_LONGER = 2.0  # than py-spy looks, which takes a moment to begin


async def run(options: Options) -> Results:
    """Writes SVG files beside the results."""
    async with open_stage() as stage, open_meter(stage) as meter:
        await stage.renew_token()
        held = await _profiled(meter, work.hold(stage), ["booking"], "holds", options.seconds)
        bookings = await supply.bookings(meter, round(100 * options.seconds))
        cancel = work.cancellation(stage, bookings)
        cancelled = await _profiled(meter, cancel, ["booking", "payment"], "cancellations", options.seconds)
    files = ["booking-holds.svg", "booking-cancellations.svg", "payment-cancellations.svg"]
    return Results([held, cancelled], notes=[f"[{file}]({FILE.parent.name}/{file})" for file in files])


async def _profiled(meter: Meter, what: Work, parts: list[str], name: str, seconds: float) -> Row:
    spies = [asyncio.create_task(_spy(meter.stage.stack.pid(part), f"{part}-{name}.svg", seconds)) for part in parts]
    figures = await meter.measure(what, _CALLERS, seconds + _LONGER, drains=True)
    await asyncio.gather(*spies)
    return Row(name, "32 callers, profiled", [{RATE: figures[RATE]}])


async def _spy(pid: int | None, file: str, seconds: float) -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise RuntimeError("py-spy is not installed: make setup")
    options = ["--pid", str(pid), "--duration", str(round(seconds)), "--rate", _HERTZ, "--native"]
    target = str(FILE.parent / file)
    process = await asyncio.create_subprocess_exec(
        program,
        "record",
        *options,
        "--output",
        target,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    if process.returncode != 0:
        raise RuntimeError(said)
    _forget_where(Path(target))


def _forget_where(picture: Path) -> None:
    """Leaves nothing of the folders of the machine on which it was measured."""
    picture.write_text(picture.read_text().replace(f"{ROOT}/", ""))
