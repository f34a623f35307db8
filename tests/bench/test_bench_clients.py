"""Clients of a bench end with it, however it ends."""

import asyncio
import signal

import pytest

from devstack.layout import ROOT
from devstack.process import is_running, python_module
from tests.waiting import eventually

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_clients_at_work_end_with_a_bench_that_is_killed_or_interrupted(how: signal.Signals) -> None:
    command, pipe, quiet = python_module("tests.bench.endless"), asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    bench = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=quiet)
    assert bench.stdout is not None
    clients = [int(pid) for pid in (await bench.stdout.readline()).split()]
    assert len(clients) == 2
    assert all(map(is_running, clients))
    bench.send_signal(how)
    await asyncio.wait_for(bench.wait(), 60)

    async def are_gone() -> bool:
        return not any(map(is_running, clients))

    await eventually("the clients to end", are_gone)
