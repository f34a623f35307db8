"""A kill point ends its process at the passage that was asked for, and is nothing without the switch."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

PASSES_THREE_TIMES = """
import sys
from petpro_common import kill_points
from petpro_common.kill_points import Moment
kill_points.arm(sys.argv[1], 2)
for number in range(3):
    print(number, flush=True)
    kill_points.reach(Moment.BEFORE_COMMIT, "petpro.commands.payment.take_payment")
    kill_points.reach(Moment.AFTER_COMMIT, "petpro.commands.payment.take_payment")
"""


@pytest.mark.parametrize(
    ("armed", "said", "ended"),
    [
        ("before commit petpro.commands.payment.take_payment", ["0", "1"], -signal.SIGKILL),
        ("after commit petpro.commands.*", ["0", "1"], -signal.SIGKILL),
        ("before commit petpro.commands.payment.submit_refund", ["0", "1", "2"], 0),
        ("", ["0", "1", "2"], 0),
    ],
)
def test_a_process_dies_at_its_armed_point_and_at_no_other(armed: str, said: list[str], ended: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PASSES_THREE_TIMES, armed], capture_output=True, text=True, check=False
    )
    assert ([word for word in done.stdout.split() if word.isdigit()], done.returncode) == (said, ended)
