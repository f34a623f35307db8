"""The timer of the sagas: signals those whose time has come.

It sleeps until the next is due, by the database's clock, and at most half a second: another replica may have set a time
and died. A time that this process sets wakes it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias

import structlog

from petpro_common import kill_points, tasks, telemetry
from petpro_common.db import Database, Row, Transaction
from petpro_common.kill_points import Moment
from petpro_common.rounds import in_rounds
from petpro_common.saga import store
from petpro_common.saga.model import SagaState, Signal, Timeout

Signalled: TypeAlias = Callable[[Transaction, SagaState, Signal, datetime], Awaitable[Any]]

_AT_ONCE = 64
_LONGEST_SLEEP_SECONDS = 0.5
_SHORTEST_SLEEP_SECONDS = 0.01
_RETRY_SECONDS = 0.5
_AFTER_A_FAULT_SECONDS = 10.0

_log = structlog.get_logger()


class Timer:
    """`signal` is called with each saga that is due, locked, in the transaction that stores what comes of it."""

    def __init__(self, database: Database, signal: Signalled) -> None:
        self._database = database
        self._signal = signal
        self._looks_at = float("inf")
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled; a fault is logged and tried again."""

        async def one_round() -> float:
            self._looks_at = float("inf")
            self._woken.clear()
            return max(await self.round(), _SHORTEST_SLEEP_SECONDS)

        await in_rounds("saga timer", one_round, _RETRY_SECONDS, self._sleep)

    def expect(self, due_at: datetime | None, now: datetime) -> None:
        """Tells of a saga that is due at an instant; both are of the database's clock."""
        if due_at and time.monotonic() + (due_at - now).total_seconds() < self._looks_at:
            self._woken.set()

    async def round(self) -> float:
        """Signals sagas that are due; seconds to sleep before the next look."""
        async with self._database.transaction() as tx:
            rows = await store.lock_due(tx, _AT_ONCE)
            if not rows:
                pause = await store.seconds_to_next_due(tx)
                return _LONGEST_SLEEP_SECONDS if pause is None else min(pause, _LONGEST_SLEEP_SECONDS)
            for row in rows:
                await self._time_out(tx, row)
            kill_points.reach(Moment.BEFORE_COMMIT, "saga timer")
        kill_points.reach(Moment.AFTER_COMMIT, "saga timer")
        return 0.0

    async def _time_out(self, tx: Transaction, row: Row) -> None:
        """Signals one saga. When that fails it stays as it is for some seconds, and holds up no other."""
        state = store.state_of(row)
        try:
            async with tx.savepoint():
                with telemetry.span(f"saga {row.saga_type} timed out", row.trace):
                    await self._signal(tx, state, Timeout(state.step, state.direction, state.attempt), row.now)
        except Exception as fault:  # noqa: BLE001  # one bad saga must not end the timer
            telemetry.BACKGROUND_FAILURES.labels("saga timer").inc()
            _log.error("saga cannot go on", saga_id=str(state.id), saga_type=state.saga_type, exc_info=fault)
            store.postpone(tx, state.id, _AFTER_A_FAULT_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        self._looks_at = time.monotonic() + seconds
        await tasks.woken(self._woken, seconds)
