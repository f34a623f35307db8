"""Operators at work on real tables: the version they saw, the audit, the timeline, and dry runs."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging.participant import Answer, Refused, Succeeded
from petpro_common.saga import Local, Remote, Saga, SagaEngine, SagaState, Step, StepKind, store
from petpro_common.saga.operations import (
    Operation,
    PivotNotSkippable,
    SagaNotFound,
    SagaVersionConflict,
    Verb,
)
from petpro_common.testing.running import MakeDatabase

POST_FEE = Remote("payment", lambda data: commands_pb2.PostBookingFee(payment_id=data["dog"]))
WALK = Saga(
    "walk",
    1,
    (
        Step("go", StepKind.PIVOT, Local("go")),
        Step("come_home", StepKind.RETRIABLE, Local("come_home")),
        Step("fee", StepKind.RETRIABLE, POST_FEE),
    ),
)


class Walks:
    """A service that walks dogs. While `lost`, none comes home and its saga is parked."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lost = True
        self.engine = SagaEngine(database, [WALK], {"go": self._go, "come_home": self._come_home})

    async def _go(self, tx: Transaction, state: SagaState) -> Answer:
        return Succeeded()

    async def _come_home(self, tx: Transaction, state: SagaState) -> Answer:
        return Refused("LOST") if self.lost else Succeeded()

    async def parked(self, dog: str = "rex") -> UUID:
        async with self.database.transaction() as tx:
            saga_id = await self.engine.start(tx, "walk", f"walk:{dog}", {"dog": dog})
        assert saga_id is not None
        assert (await self.state(saga_id)).status == "parked"
        return saga_id

    async def state(self, saga_id: UUID) -> SagaState:
        async with self.database.transaction() as tx:
            row = await store.one(tx, saga_id)
            assert row is not None
            return store.state_of(row)

    async def operate(self, saga_id: UUID, verb: Verb, version: int, dry_run: bool = False) -> Any:
        operation = Operation(verb, "sari", "the dog is back")
        async with self.database.transaction() as tx:
            return await self.engine.operate(tx, saga_id, version, operation, dry_run=dry_run)

    async def rows(self, statement: str) -> list[Any]:
        async with self.database.transaction() as tx:
            return list((await tx.execute(text(statement))).all())


@pytest.fixture
async def walks(database_of: MakeDatabase) -> Walks:
    return Walks(await database_of("booking"))


async def test_a_retried_saga_goes_on_and_it_is_written_down_who_did_it_and_why(walks: Walks) -> None:
    saga_id = await walks.parked()
    before = await walks.state(saga_id)
    walks.lost = False
    done = await walks.operate(saga_id, Verb.RETRY, before.version)
    after = await walks.state(saga_id)
    assert done.state == after
    assert (after.status, after.step) == ("running", "fee")
    (act,) = await walks.rows("SELECT * FROM saga_operations")
    assert (act.saga_id, act.verb, act.operator, act.reason) == (saga_id, "retry", "sari", "the dog is back")
    assert (act.saga_version, act.status_before, act.step_before) == (before.version, "parked", "come_home")
    assert (act.status_after, act.step_after) == ("running", "fee")
    lines = await walks.rows("SELECT kind, detail FROM saga_timeline ORDER BY id")
    assert ("operator", "retry by sari: the dog is back") in [tuple(line) for line in lines]
    assert len(await walks.rows("SELECT 1 FROM outbox")) == 1


async def test_a_dry_run_foresees_and_changes_nothing(walks: Walks) -> None:
    saga_id = await walks.parked()
    before = await walks.state(saga_id)
    lines = await walks.rows("SELECT * FROM saga_timeline")
    foreseen = await walks.operate(saga_id, Verb.RETRY, before.version, dry_run=True)
    assert foreseen.state.status == "running"
    assert [line.kind for line in foreseen.timeline] == ["operator", "sent"]
    assert await walks.state(saga_id) == before
    assert await walks.rows("SELECT * FROM saga_timeline") == lines
    assert await walks.rows("SELECT 1 FROM saga_operations UNION ALL SELECT 1 FROM outbox") == []


async def test_of_two_operators_who_saw_the_same_saga_one_acts(walks: Walks) -> None:
    saga_id = await walks.parked()
    version = (await walks.state(saga_id)).version
    both = await asyncio.gather(
        walks.operate(saga_id, Verb.RESOLVE_COMPLETED, version),
        walks.operate(saga_id, Verb.RESOLVE_COMPLETED, version),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in both) == ["Operated", "SagaVersionConflict"]
    assert len(await walks.rows("SELECT 1 FROM saga_operations")) == 1
    assert (await walks.state(saga_id)).status == "completed"


async def test_what_is_refused_leaves_no_trace(walks: Walks) -> None:
    walks.lost = False
    async with walks.database.transaction() as tx:
        saga_id = await walks.engine.start(tx, "walk", "walk:rex", {"dog": "rex"})
        assert saga_id is not None
    async with walks.database.transaction() as tx:
        await tx.execute(text("UPDATE sagas SET step = 'go'"))
    before = await walks.state(saga_id)
    lines = await walks.rows("SELECT * FROM saga_timeline")
    with pytest.raises(PivotNotSkippable):
        await walks.operate(saga_id, Verb.SKIP, before.version)
    with pytest.raises(SagaVersionConflict) as conflict:
        await walks.operate(saga_id, Verb.RETRY, before.version - 1)
    assert conflict.value.metadata == {"version": str(before.version)}
    with pytest.raises(SagaNotFound):
        await walks.operate(new_id(), Verb.RETRY, 1)
    assert await walks.rows("SELECT 1 FROM saga_operations") == []
    assert await walks.rows("SELECT * FROM saga_timeline") == lines


async def test_sagas_are_found_by_step_and_age(walks: Walks) -> None:
    old, young = await walks.parked("rex"), await walks.parked("bello")
    async with walks.database.transaction() as tx:
        await tx.execute(
            text("UPDATE sagas SET created_at = created_at - interval '1 hour' WHERE id = :id"), {"id": old}
        )

        async def found(**filters: Any) -> list[UUID]:
            return [row.id for row in await store.page(tx, store.Filters(**filters), None, 10)]

        assert await found(step="come_home") == [young, old]
        assert await found(step="fee") == []
        assert await found(min_age_seconds=3000) == [old]
        assert await found(min_age_seconds=4000) == []
