"""`python -m bench`: a hold beside its limits, on a stack of its own, removed afterwards."""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.clinic import Clinic, open_clinic
from bench.limits import pgbench
from bench.measure import Sample, measure, middle
from devstack.stack import Stack

CALLERS = (1, 8, 32)
RESULTS = Path(".run/bench/results.json")


async def one_round(clinic: Clinic, callers: int, seconds: float, folder: Path) -> Mapping[str, Sample]:
    """Every kind of call once, one after the other."""
    return {
        "pgbench, the same work": await pgbench(clinic.booking_dsn, clinic.slots, callers, seconds, folder),
        "empty RPC": await measure(clinic.health, callers, seconds),
        "hold over gRPC": await measure(clinic.hold, callers, seconds),
        "hold through the gateway": await measure(clinic.hold_through_gateway, callers, seconds),
    }


async def run(rounds: int, seconds: float) -> Mapping[int, Mapping[str, list[Sample]]]:
    """All rounds, alternating, on a durable stack in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="petpro-bench-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "run")
        await stack.start()
        try:
            async with open_clinic(stack, max(CALLERS)) as clinic:
                results: dict[int, dict[str, list[Sample]]] = {callers: {} for callers in CALLERS}
                for _ in range(rounds):
                    for callers in CALLERS:
                        for name, sample in (await one_round(clinic, callers, seconds, Path(folder))).items():
                            results[callers].setdefault(name, []).append(sample)
                return results
        finally:
            await stack.stop()


def show(results: Mapping[int, Mapping[str, list[Sample]]]) -> None:
    """The table of ratios, and the numbers behind it."""
    table = Table(title="Holds, medians of the rounds; ratios are to pgbench in the same rounds")
    for heading in ("callers", "what", "a second", "ratio", "lowest", "highest", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for callers, by_name in results.items():
        limit = by_name["pgbench, the same work"]
        for name, samples in by_name.items():
            ratios = [sample.rate / beside.rate for sample, beside in zip(samples, limit, strict=True)]
            mid = middle(samples)
            spread = [f"{ratio:.0%}" for ratio in (sorted(ratios)[len(ratios) // 2], min(ratios), max(ratios))]
            table.add_row(str(callers), name, f"{mid.rate:,.0f}", *spread, f"{mid.p50:.2f}", f"{mid.p99:.2f}")
        table.add_section()
    Console(width=110).print(table)


def main() -> None:
    """Measures, shows, and keeps the numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="A hold beside its limits, in one run.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each kind of call, in each round")
    arguments = parser.parse_args()
    results = uvloop.run(run(arguments.rounds, arguments.seconds))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        callers: {name: [asdict(s) for s in samples] for name, samples in by.items()} for callers, by in results.items()
    }
    RESULTS.write_text(json.dumps(plain, indent=2))
    show(results)


if __name__ == "__main__":
    main()
