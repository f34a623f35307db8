"""One measurement: client processes load, and everybody's CPU is accounted for over the same time."""

import asyncio
import math
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bench.load import WARM_UP_SECONDS, Outcome, Plan, Work, run_client
from bench.section import P50, P95, P99, RATE, Figures, NothingEnded
from bench.stage import Stage
from devstack.fork_server import die_with_parent

CLIENT_CPU = "client CPU ms"
REFUSED = "refused %"
MOST_CLIENTS = 2
_LONGEST_SECONDS = 300.0  # that preparing may take
_PARTS_THAT_COUNT = 0.005  # CPU milliseconds of an operation; below it a part has nothing to do with it


@dataclass(frozen=True)
class Meter:
    """Measures on one stage, with client processes that are kept."""

    stage: Stage
    _pool: ProcessPoolExecutor

    async def measure(
        self,
        work: Work,
        callers: int,
        seconds: float,
        *,
        clients: int = 1,
        arrivals: float = 0.0,
        drains: bool = False,
        answers: list[bytes] | None = None,
    ) -> Figures:
        """Figures of one round: rate, milliseconds, CPU milliseconds of an operation for the client and each part.

        With `arrivals` (a second) the loop is open; with `drains` all that was started is waited for, and the CPU of
        all that it caused counts. What is answered is added to `answers`, where they are given.
        """
        await self.stage.give_back()
        await self.stage.quiet()
        begin = time.monotonic() + WARM_UP_SECONDS
        end = begin + seconds
        plan = Plan(work, -(-callers // clients), begin, end, arrivals / clients, answers is not None, drains)
        plans = [replace(plan, work=work.share(number, clients)) for number in range(clients)]
        running = [asyncio.get_running_loop().run_in_executor(self._pool, run_client, one) for one in plans]
        await asyncio.sleep(begin - time.monotonic())
        before = self.stage.cpu()
        if drains:
            await asyncio.wait(running)
            await self.stage.quiet()
        else:
            await asyncio.sleep(end - time.monotonic())
        after = self.stage.cpu()
        outcomes = await asyncio.gather(*running)
        if answers is not None:
            answers += [answer for outcome in outcomes for answer in outcome.answers]
        spent = {part: after[part] - before.get(part, 0.0) for part in after}
        return figures_of(outcomes, begin, math.inf if drains else end, spent)

    async def answers(self, work: Work, callers: int) -> list[bytes]:
        """Does all of a work that ends, not measured; what was answered."""
        now = time.monotonic()
        plan = Plan(work, callers, now, now + _LONGEST_SECONDS, keep_answers=True)
        return (await asyncio.get_running_loop().run_in_executor(self._pool, run_client, plan)).answers


@asynccontextmanager
async def open_meter(stage: Stage) -> AsyncIterator[Meter]:
    """Client processes for the time of the block; when it ends by an error they are killed in what they do."""
    pool = ProcessPoolExecutor(MOST_CLIENTS, multiprocessing.get_context("spawn"), _end_with, (os.getpid(),))
    try:
        await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.3) for _ in range(MOST_CLIENTS))
        )
        yield Meter(stage, pool)
    except BaseException:
        for client in multiprocessing.active_children():
            client.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with(bench: int) -> None:
    """Of a client process: it dies when the bench is killed, and leaves it to the bench what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    if os.getppid() != bench:
        sys.exit()


def figures_of(outcomes: Sequence[Outcome], begin: float, end: float, cpu: Mapping[str, float]) -> Figures:
    """Outcomes of client processes, and the CPU seconds that each part took meanwhile, as the figures of a round.

    When the work was used up before the end, the time counts until then. Raises NothingEnded.
    """
    taken = sorted(milliseconds for outcome in outcomes for milliseconds in outcome.taken)
    if len(taken) < 2:
        raise NothingEnded
    until = max(outcome.last_end for outcome in outcomes)
    cuts = statistics.quantiles(taken, n=100)
    refused = sum(outcome.refused for outcome in outcomes)
    each = {part: seconds * 1000 / len(taken) for part, seconds in cpu.items()}
    return {
        RATE: len(taken) / (min(until, end) - begin),
        **{P50: cuts[49], P95: cuts[94], P99: cuts[98]},
        REFUSED: 100 * refused / (refused + len(taken)),
        CLIENT_CPU: sum(outcome.cpu_seconds for outcome in outcomes) * 1000 / len(taken),
        **{cpu_name(part): spent for part, spent in each.items() if spent >= _PARTS_THAT_COUNT},
    }


def cpu_name(part: str) -> str:
    """What the CPU time of a part is called among the figures."""
    return f"{part} CPU ms"
