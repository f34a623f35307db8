"""`python -m bench`: measures sections, shows them, keeps them in docs/benchmarks, and writes the page anew."""

import argparse
from collections.abc import Sequence

import uvloop
from rich.console import Console

from bench import (
    capacity,
    gateway,
    growth,
    holds,
    instructions,
    limits,
    looks,
    overload,
    page,
    profile,
    replicas,
    results,
    sagas,
    smoke,
    soak,
    start,
    story,
    timers,
)
from bench.peers import section as peers
from bench.peers import survival
from bench.section import Options, Section
from bench.show import show

SECTIONS: Sequence[Section] = (
    *(limits, start, holds, looks, sagas, story, gateway, timers, overload, replicas, growth),
    *(instructions, peers, survival, profile, soak, smoke),
)
_WHEN_ASKED = {"growth", "peers", "survival", "profile", "soak", "smoke"}
"""Not measured unless named."""
_WIDTH = 150


def main() -> None:
    """Measures what was asked for, one section after the other; each is kept as soon as it is there."""
    names = {section.NAME: section for section in SECTIONS}
    options, wanted, is_kept = _asked(names)
    console = Console()
    console.width = max(console.width, _WIDTH)
    for name in wanted:
        found = uvloop.run(names[name].run(options))
        show(console, name, names[name].ABOUT, found)
        if is_kept and name != "smoke":
            results.keep(name, names[name].ABOUT, options, found)
            page.write()
            _write_capacity(console)


def _write_capacity(console: Console) -> None:
    try:
        capacity.write()
    except LookupError as missing:
        console.print(f"docs/scaling.md stays as it was: {missing}", style="yellow", highlight=False)


def _asked(names: dict[str, Section]) -> tuple[Options, list[str], bool]:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure PetPro beside its limits.")
    parser.add_argument("--only", default="", help=f"sections, by comma: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each contestant, in each round")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--minutes", type=int, default=60, help="of load in `soak`")
    parser.add_argument("--record", action="store_true", help="let `instructions` be what later runs are held against")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="write docs/benchmarks.md")
    said = parser.parse_args()
    wanted = [name for name in said.only.split(",") if name] or [name for name in names if name not in _WHEN_ASKED]
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"no such section: {', '.join(unknown)}")
    if said.minutes < 2:
        parser.error("--minutes: growth takes two at least")
    return Options(said.rounds, said.seconds, said.size, said.minutes, said.record), wanted, said.keep


if __name__ == "__main__":
    main()
