"""Load from processes of its own: so many callers, or so many arrivals a second, for so long.

    open, warm up | measured for `seconds` | the last answers come in
                 begin                    end

Everything that ends between begin and end counts. Both are instants of the machine's monotonic clock, so that several
client processes and the accounts of the servers' CPU speak of the same time.

What takes long (a saga) drains instead: nothing warms up, all that is started between begin and end counts, and the
time goes on until the last of it has ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import uvloop

from bench.session import Session

WARM_UP_SECONDS = 0.7
_PATIENCE_SECONDS = 60.0
_TICK_SECONDS = 0.002  # between looks at the clock: uvloop waits whole milliseconds, and spins for less than one

Operation = Callable[[], Awaitable[bytes]]
"""Does one thing once and gives what was answered. Raises NothingLeft or CallFailed."""


class NothingLeft(Exception):
    """The work is used up: there are no more bookings to cancel."""


class Work(Protocol):
    """What callers do; it travels to the client's process, so it is plain data."""

    def start(self, session: Session) -> Operation:
        """What is done over and over by all callers of the session."""

    def share(self, number: int, of: int) -> "Work":
        """This client process' part of it."""


@dataclass(frozen=True)
class Plan:
    """How one client process loads. Instants are of `time.monotonic`."""

    work: Work
    callers: int
    begin: float
    end: float
    arrivals: float = 0.0
    """A second; 0: every caller goes on when it is answered (closed loop)."""
    keep_answers: bool = False
    drains: bool = False


@dataclass
class Outcome:
    """What one client process saw between begin and end. Times are milliseconds."""

    taken: list[float] = field(default_factory=list)
    refused: int = 0
    """Answered with an error; counted with arrivals only, elsewhere it fails the run."""
    cpu_seconds: float = 0.0
    last_end: float = 0.0
    answers: list[bytes] = field(default_factory=list)


def run_client(plan: Plan) -> Outcome:
    """The whole life of a client process' load."""
    return uvloop.run(_run(plan))


async def _run(plan: Plan) -> Outcome:
    outcome = Outcome()
    async with Session(plan.callers) as session:
        operation = plan.work.start(session)
        accounting = asyncio.create_task(_account(plan, outcome))
        load = _arrive(plan, operation, outcome) if plan.arrivals else _loop(plan, operation, outcome)
        async with asyncio.timeout(plan.end - time.monotonic() + _PATIENCE_SECONDS):
            await load
        accounting.cancel()
        with suppress(asyncio.CancelledError):
            await accounting
    return outcome


async def _account(plan: Plan, outcome: Outcome) -> None:
    """The client's own CPU between begin and end, or until it is cancelled because the work is used up."""
    await asyncio.sleep(plan.begin - time.monotonic())
    before = time.process_time()
    try:
        await asyncio.sleep(plan.end - time.monotonic() + (_PATIENCE_SECONDS if plan.drains else 0))
    finally:
        outcome.cpu_seconds = time.process_time() - before


async def _loop(plan: Plan, operation: Operation, outcome: Outcome) -> None:
    async def caller() -> None:
        if plan.drains:
            await asyncio.sleep(plan.begin - time.monotonic())
        with suppress(NothingLeft):
            while time.monotonic() < plan.end:
                _note(plan, outcome, time.monotonic(), await operation())

    async with asyncio.TaskGroup() as callers:
        for _ in range(plan.callers):
            callers.create_task(caller())


async def _arrive(plan: Plan, operation: Operation, outcome: Outcome) -> None:
    """Arrivals come at their times, whether those before were answered or not."""

    async def one(due: float) -> None:
        try:
            _note(plan, outcome, due, await operation())
        except Exception:  # noqa: BLE001 - what is refused is what is counted
            if plan.begin <= time.monotonic() <= plan.end:
                outcome.refused += 1

    due = plan.begin - WARM_UP_SECONDS / 2
    async with asyncio.TaskGroup() as arrived:
        while due < plan.end:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            while due <= now:
                arrived.create_task(one(due))
                due += 1 / plan.arrivals


def _note(plan: Plan, outcome: Outcome, began: float, answer: bytes) -> None:
    now = time.monotonic()
    if plan.keep_answers:
        outcome.answers.append(answer)
    if plan.begin <= now <= plan.end or plan.drains:
        outcome.taken.append((now - began) * 1000)
        outcome.last_end = now
