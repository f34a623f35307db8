"""Answers and starts of sagas that come at the same time, too late, or to another step, over real databases."""

import asyncio

from sqlalchemy import text

from petpro_common.db import Database, Transaction
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.saga import Local, Saga, SagaEngine, SagaState, Step, StepKind, store
from petpro_common.testing.running import MakeDatabase, eventually

WAITS = text("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


async def test_an_answer_that_nobody_waits_for_any_more_does_not_count(database_of: MakeDatabase) -> None:
    async def ask(tx: Transaction, state: SagaState) -> Answer:
        return Pending()

    booking = await database_of("booking")
    walk = Saga("walk", 1, (Step("ask", StepKind.COMPENSATABLE, Local("ask")),))
    engine = SagaEngine(booking, [walk], {"ask": ask})
    async with booking.transaction() as tx:
        saga_id = await engine.start(tx, "walk", "walk:rex", {"dog": "rex"})
        assert saga_id is not None
        assert await engine.answer(tx, saga_id, "ask", Refused("RAIN"))
        assert not await engine.answer(tx, saga_id, "ask", Succeeded())


async def test_an_answer_to_a_step_is_none_to_its_compensation(database_of: MakeDatabase) -> None:
    async def wait(tx: Transaction, state: SagaState) -> Answer:
        return Pending()

    async def refuse(tx: Transaction, state: SagaState) -> Answer:
        return Refused("RAIN")

    ask = Step("ask", StepKind.COMPENSATABLE, Local("ask"), undo=Local("call_off"))
    walk = Saga("walk", 1, (ask, Step("go", StepKind.PIVOT, Local("go"))))
    booking = await database_of("booking")
    engine = SagaEngine(booking, [walk], {"ask": wait, "call_off": wait, "go": refuse})
    async with booking.transaction() as tx:
        saga_id = await engine.start(tx, "walk", "walk:rex", {"dog": "rex"})
        assert saga_id is not None
        assert await engine.answer(tx, saga_id, "ask", Succeeded())
        assert not await engine.answer(tx, saga_id, "ask", Succeeded())
    async with booking.transaction() as tx:
        row = await store.one(tx, saga_id)
    assert row is not None
    assert (row.status, row.step, row.direction) == ("compensating", "ask", "backward")


async def somebody_waits(database: Database) -> bool:
    async with database.reading() as tx:
        return bool((await tx.execute(WAITS)).all())


async def test_of_two_answers_at_once_the_second_waits_and_does_not_count(database_of: MakeDatabase) -> None:
    async def ask(tx: Transaction, state: SagaState) -> Answer:
        return Pending()

    booking = await database_of("booking")
    walk = Saga("walk", 1, (Step("ask", StepKind.COMPENSATABLE, Local("ask")),))
    engine = SagaEngine(booking, [walk], {"ask": ask})
    async with booking.transaction() as tx:
        saga_id = await engine.start(tx, "walk", "walk:rex", {"dog": "rex"})
    assert saga_id is not None

    async def answer_too() -> bool:
        async with booking.transaction() as tx:
            return await engine.answer(tx, saga_id, "ask", Succeeded())

    async with booking.transaction() as tx:
        assert await engine.answer(tx, saga_id, "ask", Refused("RAIN"))
        late = asyncio.create_task(answer_too())
        await eventually(lambda: somebody_waits(booking))
    assert not await late


async def test_those_who_start_the_same_sagas_at_once_do_not_wait_in_a_circle(database_of: MakeDatabase) -> None:
    booking, keys = await database_of("booking"), [f"walk:{number:02}" for number in range(20)]

    async def claim_all() -> None:
        async with booking.transaction() as tx:
            await store.claim(tx, set(keys))

    async with booking.transaction() as tx:
        await store.claim(tx, keys[:1])
        other = asyncio.create_task(claim_all())
        await eventually(lambda: somebody_waits(booking))
        await store.claim(tx, set(keys[1:]))
    await other
