"""Ports that are chosen at the same time by processes that know nothing of each other."""

import subprocess
import sys
from pathlib import Path

import pytest

from devstack import ports
from devstack.ports import Ports, free_port

pytestmark = pytest.mark.unit

CHOOSES = """
import sys
from devstack import ports
ports.LOWEST = ports.HIGHEST = int(sys.argv[1])
try:
    print(ports.free_port())
except OSError:
    print("none")
"""

REMEMBERS = """
import sys
from pathlib import Path
from devstack.ports import Ports
print(Ports.for_new_stack(Path(sys.argv[1])).of("postgres"))
"""


def chosen_elsewhere(only: int) -> str:
    """What another process chooses when there is no other port."""
    command = [sys.executable, "-c", CHOOSES, str(only)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_one_has_chosen_no_other_chooses_before_anybody_listens() -> None:
    assert chosen_elsewhere(free_port()) == "none"


def test_what_was_chosen_by_who_has_ended_can_be_chosen_again() -> None:
    port = free_port()
    ports._claims.pop(port).close()
    assert [chosen_elsewhere(port) for _ in range(2)] == [str(port)] * 2


def test_a_stack_finds_the_ports_that_its_folder_had(tmp_path: Path) -> None:
    first = Ports.for_new_stack(tmp_path / "ports.json")
    chosen = {name: first.of(name) for name in ("postgres", "nats")}
    again = Ports.for_new_stack(tmp_path / "ports.json")
    assert {name: again.of(name) for name in chosen} == chosen


def test_a_stack_does_not_take_a_port_that_another_has_claimed_meanwhile(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "ports.json").write_text(f'{{"postgres": {port}}}')
    assert remembered_elsewhere(tmp_path) != port


def remembered_elsewhere(folder: Path) -> int:
    """The port for `postgres` in another process's stack in that folder."""
    command = [sys.executable, "-c", REMEMBERS, str(folder / "ports.json")]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
