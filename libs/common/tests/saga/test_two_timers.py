"""Two replicas' timers on one database: each takes what the other has not in hand, so a time runs out once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from libs.common.tests.processes import another
from petpro_common.db import Database, Transaction
from petpro_common.messaging.participant import Answer, Pending
from petpro_common.saga import Local, Saga, SagaEngine, SagaState, Step, StepKind, timer
from petpro_common.saga.engine import Start
from petpro_common.testing.running import MakeDatabase, eventually, running

ASK = Step("ask", StepKind.COMPENSATABLE, Local("ask"), patience=timedelta(hours=1), horizon=timedelta(days=1))
WALK = Saga("walk", 1, (ASK,))
ROUNDS_EACH = 3
_DUE = text("UPDATE sagas SET due_at = statement_timestamp()")
_TIMED_OUT = text("SELECT saga_id, count(*) AS times FROM saga_timeline WHERE kind = 'timed_out' GROUP BY saga_id")


class Replica:
    """An engine with connections of its own, and the sagas that it has asked again."""

    def __init__(self, database: Database, both_at_work: asyncio.Barrier) -> None:
        self.database = database
        self.engine = SagaEngine(database, [WALK], {"ask": self.ask})
        self.asked_again: Counter[UUID] = Counter()
        self._both_at_work = both_at_work

    async def ask(self, _: Transaction, state: SagaState) -> Answer:
        if state.attempt > 1:
            if not self.asked_again:
                await self._both_at_work.wait()  # neither has committed
            self.asked_again[state.id] += 1
        return Pending()


async def test_of_two_timers_at_once_each_saga_is_signalled_by_one(database_of: MakeDatabase) -> None:
    database = await database_of("booking")
    other, barrier = another(database), asyncio.Barrier(2)
    one, two = replicas = Replica(database, barrier), Replica(other, barrier)
    sagas = await _start(one, timer._AT_ONCE * 2 * ROUNDS_EACH)

    async def all_are_asked_again() -> bool:
        return len(one.asked_again | two.asked_again) == len(sagas)

    async with running(*(replica.engine.run_timer() for replica in replicas)):
        await eventually(all_are_asked_again)
        async with database.transaction() as tx:
            await tx.execute(text("SELECT FROM sagas FOR UPDATE"))  # both have committed
            timed_out = {row.saga_id: row.times for row in await tx.execute(_TIMED_OUT)}
    await other.close()
    assert one.asked_again + two.asked_again == timed_out == dict.fromkeys(sagas, 1)
    assert min(len(replica.asked_again) for replica in replicas) >= timer._AT_ONCE


async def _start(replica: Replica, count: int) -> Sequence[UUID]:
    """Sagas that are all due at one instant."""
    async with replica.database.transaction() as tx:
        started = await replica.engine.start_all(tx, [Start("walk", f"walk:{number}", {}) for number in range(count)])
    async with replica.database.transaction() as tx:
        await tx.execute(_DUE)
    return [saga_id for saga_id in started if saga_id]
