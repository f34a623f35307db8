"""`python -m bench.grpc_versions`: which grpcio answers the most empty calls, with server and callers on that version.

Each version gets an environment of its own in a temporary folder. The candidates take turns, so that what else the
machine does hits all of them alike; ratios are to the first candidate in the same round.
"""

import argparse
import os
import subprocess
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

PROGRAM = Path(__file__).with_name("empty_call.py")
WITHOUT_EVENT_ENGINE = "-event_engine_client,-event_engine_listener"


@dataclass(frozen=True)
class Candidate:
    """A version of grpcio, and the experiments of its core that are turned on or off."""

    version: str
    experiments: str = ""

    @property
    def name(self) -> str:
        return f"{self.version}\n{self.experiments}".strip()


@dataclass(frozen=True)
class Sample:
    """Calls a second, and calls a second of CPU that server and callers took together."""

    rate: float
    per_cpu: float


def environment(folder: Path, version: str) -> Path:
    """A Python with that version of grpcio."""
    home = folder / version
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    wanted = [f"grpcio=={version}", "uvloop"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *wanted], check=True)
    return python


def measure(python: Path, experiments: str, callers: int, seconds: float) -> Sample:
    """One round of one candidate, in two fresh processes."""
    env = os.environ | ({"GRPC_EXPERIMENTS": experiments} if experiments else {})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([python, PROGRAM, "serve"], env=env, text=True, **pipes) as server:  # type: ignore[call-overload]
        port = server.stdout.readline().strip()
        words = [python, PROGRAM, "call", port, str(callers), str(seconds)]
        called = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
        served, _ = server.communicate("")
    calls, taken, cpu = (float(word) for word in called.stdout.split())
    return Sample(calls / taken, calls / (cpu + float(served)))


def run(candidates: Sequence[Candidate], rounds: int, callers: int, seconds: float) -> dict[Candidate, list[Sample]]:
    """All rounds, alternating."""
    with tempfile.TemporaryDirectory(prefix="petpro-grpc-") as folder:
        pythons = {version: environment(Path(folder), version) for version in {c.version for c in candidates}}
        samples: dict[Candidate, list[Sample]] = {candidate: [] for candidate in candidates}
        for _ in range(rounds):
            for candidate in candidates:
                sample = measure(pythons[candidate.version], candidate.experiments, callers, seconds)
                samples[candidate].append(sample)
        return samples


def show(samples: dict[Candidate, list[Sample]], callers: int) -> None:
    """The table of ratios, and the numbers behind it."""
    first = next(iter(samples.values()))
    table = Table(title=f"Empty calls, {callers} callers; medians of the rounds, lowest and highest ratio")
    for heading in ("grpcio", "a second", "ratio", "a CPU second", "ratio"):
        table.add_column(heading, justify="left" if heading == "grpcio" else "right")
    for candidate, own in samples.items():
        rates, costs = [one.rate for one in own], [one.per_cpu for one in own]
        by_rate = ratios(rates, [one.rate for one in first])
        by_cost = ratios(costs, [one.per_cpu for one in first])
        table.add_row(candidate.name, f"{median(rates):,.0f}", by_rate, f"{median(costs):,.0f}", by_cost)
    Console(width=120).print(table)


def ratios(own: Sequence[float], beside: Sequence[float]) -> str:
    """The middle of the ratios, and their range."""
    found = sorted(mine / other for mine, other in zip(own, beside, strict=True))
    return f"{median(found):.2f} ({found[0]:.2f}-{found[-1]:.2f})"


def main() -> None:
    """Measures and shows."""
    parser = argparse.ArgumentParser(prog="python -m bench.grpc_versions", description="Versions of grpcio compared.")
    parser.add_argument("versions", nargs="*", default=["1.78.0", "1.85.1"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each candidate, in each round")
    arguments = parser.parse_args()
    experiments = ("", WITHOUT_EVENT_ENGINE)
    candidates = [Candidate(version, said) for version in arguments.versions for said in experiments]
    show(run(candidates, arguments.rounds, arguments.callers, arguments.seconds), arguments.callers)


if __name__ == "__main__":
    main()
