"""Plays schedules: `--schedules N` of them from `--seed S` on; a seed alone is played once and told line by line."""

import argparse
import sys
import time

import structlog

from libs.common.tests.simulator.schedule import Report, Schedule


def _tell(report: Report) -> None:
    print("\n".join(report.trace))
    for violation in report.violations:
        print(f"  VIOLATION {violation}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.common.tests.simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    began, sagas, faults = time.monotonic(), 0, 0
    for number, seed in enumerate(range(wanted.seed, wanted.seed + wanted.schedules), 1):
        report = Schedule(seed).run()
        sagas, faults = sagas + report.sagas, faults + report.faults
        if report.violations or wanted.schedules == 1:
            _tell(report)
        if report.violations:
            print(f"seed {seed} fails; play it again: make simulate SCHEDULES=1 SEED={seed}")
            return 1
        if number % 1_000 == 0 or number == wanted.schedules:
            rate = number / (time.monotonic() - began) * 60
            print(
                f"{number} schedules, {sagas} sagas, {faults} faults, nothing wrong; {rate:,.0f} a minute", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
