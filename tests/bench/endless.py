"""`python -m tests.bench.endless`: a bench whose clients are at work until it is ended; it tells their ids."""

import asyncio
import multiprocessing
import signal
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.load import Operation
from bench.measure import MOST_CLIENTS, open_meter
from bench.session import Session


@dataclass(frozen=True)
class Endless:
    """Waits for an answer that never comes."""

    def share(self, number: int, of: int) -> "Endless":
        return self

    def start(self, session: Session) -> Operation:
        async def once() -> bytes:
            await asyncio.Event().wait()
            return b""

        return once


async def main() -> None:
    no_stage: Any = None
    async with open_meter(no_stage) as meter:
        waiting = asyncio.create_task(meter.answers(Endless(), 1))
        while len(clients := multiprocessing.active_children()) < MOST_CLIENTS:
            await asyncio.sleep(0.02)
        print(*(client.pid for client in clients), flush=True)
        await waiting


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who begins it in the background has it ignored
    uvloop.run(main())
