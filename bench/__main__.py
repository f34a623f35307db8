"""`python -m bench`: measures sections, shows them, keeps them in docs/benchmarks, and writes the page anew."""

import argparse
from collections.abc import Sequence

import uvloop
from rich.console import Console

from bench import holds, results
from bench.section import Options, Section
from bench.show import show

SECTIONS: Sequence[Section] = (holds,)


def main() -> None:
    """Measures what was asked for, one section after the other; each is kept as soon as it is there."""
    names = {section.NAME: section for section in SECTIONS}
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure PetPro beside its limits.")
    parser.add_argument("--only", default="", help=f"sections, by comma: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each contestant, in each round")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="write docs/benchmarks.md")
    said = parser.parse_args()
    wanted = [name for name in said.only.split(",") if name] or list(names)
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"no such section: {', '.join(unknown)}")
    options = Options(said.rounds, said.seconds, said.size)
    for name in wanted:
        found = uvloop.run(names[name].run(options))
        show(Console(), name, names[name].ABOUT, found)
        if said.keep:
            results.keep(name, names[name].ABOUT, options, found)


if __name__ == "__main__":
    main()
