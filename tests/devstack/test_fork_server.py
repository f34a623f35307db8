"""The fork server of the tests: what it forks is like a process that was started anew, and dies when it must."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from devstack import testing
from devstack.fork_server import STATUS_BYTES, Order, fork
from devstack.process import is_running
from tests.waiting import eventually

ENVIRONMENT = {"PATH": os.environ["PATH"], "MOKO": "cat"}


def tells(folder: Path, *words: str, files: Sequence[int] = (), outlives: bool = False) -> tuple[int, socket.socket]:
    """Fork the module that tells what it sees."""
    order = Order(["tests.devstack.forked", *words], ENVIRONMENT, str(folder), outlives)
    with (folder / "log").open("ab") as output:
        return fork(testing.fork_server_of_run(), order, [output.fileno(), *files])


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def status(connection: socket.socket) -> int:
    with connection:
        return int(connection.recv(STATUS_BYTES))


@pytest.mark.parametrize("number", [0, 3])
def test_it_is_a_process_of_its_own_and_its_status_is_told(tmp_path: Path, number: int) -> None:
    with (tmp_path / "kept").open("w") as kept:
        pid, connection = tells(tmp_path, str(number), "Moko", files=[kept.fileno()])
        assert status(connection) == number
    [seen] = told(tmp_path)
    assert seen.pop("random") >= 0
    assert seen.pop("id")
    assert seen == {
        "pid": pid,
        "leads its session": True,
        "threads": 1,
        "argv": [str(number), "Moko"],
        "environment": ENVIRONMENT,
        "folder": str(tmp_path),
        "files": [str(tmp_path / "kept")],
    }


def test_no_two_draw_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        assert status(tells(tmp_path, "0")[1]) == 0
    one, other = told(tmp_path)
    assert one["random"] != other["random"]
    assert one["id"][14:] != other["id"][14:]


def test_a_killed_one_is_told_as_killed(tmp_path: Path) -> None:
    pid, connection = tells(tmp_path, "waits")
    os.kill(pid, signal.SIGKILL)
    assert status(connection) == -signal.SIGKILL


async def test_it_dies_with_who_asked_unless_it_may_outlive_them(tmp_path: Path) -> None:
    bound, connection = tells(tmp_path, "waits")
    free, other_connection = tells(tmp_path, "waits", outlives=True)

    async def both_wait() -> bool:
        return len(told(tmp_path)) == 2

    async def it_is_gone() -> bool:
        return not is_running(bound)

    await eventually("both to run", both_wait)
    other_connection.close()
    connection.close()
    await eventually("its end", it_is_gone)
    await asyncio.sleep(0.1)
    assert is_running(free)
    os.kill(free, signal.SIGKILL)
