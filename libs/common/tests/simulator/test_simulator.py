"""The simulator finds nothing in the code as it is, and finds each planted bug."""

import subprocess
import sys

import pytest

from libs.common.tests.simulator.mutants import Mutant
from libs.common.tests.simulator.mutants_of_messaging import MUTANTS_OF_MESSAGING
from libs.common.tests.simulator.mutants_of_sagas import MUTANTS_OF_SAGAS
from libs.common.tests.simulator.schedule import Schedule

pytestmark = pytest.mark.unit

SEEDS = 80
SEEDS_FOR_A_MUTANT = 600


def test_sagas_survive_whatever_the_seeds_bring_which_is_every_end_and_every_fault() -> None:
    statuses, told, faults = set(), "", 0
    for seed in range(SEEDS):
        schedule = Schedule(seed)
        report = schedule.run()
        assert not report.violations, f"make simulate SCHEDULES=1 SEED={seed}: {report.violations}"
        told, faults = told + "\n".join(report.trace), faults + report.faults
        statuses |= {row.status for row in schedule.tables["booking"].sagas.values()}
    assert faults > SEEDS
    assert statuses == {"completed", "compensated", "parked"}
    for place in ("before commit", "after commit", "before publish", "after publish", "before ack", "after ack"):
        assert f"{place}" in told
    for trouble in ("forget", "lose", "delete", "backup", "stray", "contradict", "again", "drop", "database fails"):
        assert f"! {trouble}" in told


@pytest.mark.parametrize("mutant", MUTANTS_OF_SAGAS + MUTANTS_OF_MESSAGING, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    with mutant.planted():
        assert any(Schedule(seed).run().violations for seed in range(SEEDS_FOR_A_MUTANT))


def test_a_seed_replays_exactly_also_in_another_process() -> None:
    here = Schedule(7).run()
    again = Schedule(7).run()
    assert (here.trace, here.violations) == (again.trace, again.violations)
    command = [sys.executable, "-m", "libs.common.tests.simulator", "--schedules", "1", "--seed", "7"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[: len(here.trace)] == here.trace
