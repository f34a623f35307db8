"""Sagas that are started together, and local steps that are done for all sagas at them by one call."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from petpro_common import telemetry
from petpro_common.db import Database, Transaction
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.saga import Local, Saga, SagaEngine, SagaState, Step, StepKind
from petpro_common.saga.engine import Start
from petpro_common.saga.moves import LocalHandler, on_behalf
from petpro_common.testing.running import MakeDatabase
from petpro_common.together import Together

COMPENSATABLE, RETRIABLE = StepKind.COMPENSATABLE, StepKind.RETRIABLE
PARADE = Saga(
    "parade",
    1,
    (
        Step("line_up", COMPENSATABLE, Local("line_up"), undo=Local("go_home")),
        Step("ask", COMPENSATABLE, Local("ask"), when=lambda data: data["is_shy"], patience=timedelta(minutes=1)),
        Step("march", RETRIABLE, Local("march")),
    ),
)


@dataclass
class Parade:
    """Dogs that march; what each handler was called with, in order."""

    database: Database
    asked: list[tuple[str, list[str]]] = field(default_factory=list)
    left_behind: set[str] = field(default_factory=set)

    @property
    def engine(self) -> SagaEngine:
        handlers: dict[str, LocalHandler] = {
            "line_up": Together(self._line_up),
            "go_home": self._go_home,
            "ask": self._ask,
            "march": Together(self._march),
        }
        return SagaEngine(self.database, [PARADE], handlers)

    def _note(self, step: str, states: Sequence[SagaState]) -> None:
        self.asked.append((step, [state.data["dog"] for state in states]))

    async def _line_up(self, tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
        self._note("line_up", states)
        return [Refused("TOO_OLD") if state.data["dog"] == "opa" else Succeeded() for state in states]

    async def _go_home(self, tx: Transaction, state: SagaState) -> Answer:
        self._note("go_home", [state])
        return Succeeded()

    async def _ask(self, tx: Transaction, state: SagaState) -> Answer:
        self._note("ask", [state])
        return Pending()

    async def _march(self, tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
        self._note("march", states)
        if any(state.data["dog"] in self.left_behind for state in states):
            raise ValueError("the parade waits for nobody")
        for state in states:
            with on_behalf(state):
                add_event(tx, "booking", "parade.marched", state.id, {"dog": state.data["dog"]})
        return [Succeeded()] * len(states)

    async def start(self, *dogs: str) -> list[Any]:
        starts = []
        for dog in dogs:
            with telemetry.span(dog, {}):
                starts.append(Start("parade", f"parade:{dog}", {"dog": dog, "is_shy": dog == "milo"}))
        async with self.database.transaction() as tx:
            return await self.engine.start_all(tx, starts)

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.database.transaction() as tx:
            return [tuple(row) for row in await tx.execute(text(statement))]


@pytest.fixture
async def parade(database_of: MakeDatabase) -> Parade:
    return Parade(await database_of("booking"))


async def test_all_that_stand_at_a_step_are_asked_at_once_and_each_goes_its_own_way(parade: Parade) -> None:
    ids = await parade.start("rex", "milo", "opa", "bo")

    assert parade.asked == [
        ("line_up", ["rex", "milo", "opa", "bo"]),
        ("ask", ["milo"]),
        ("march", ["rex", "bo"]),
    ]
    rows = await parade.rows("SELECT data ->> 'dog', status, step FROM sagas ORDER BY id")
    assert rows == [
        ("rex", "completed", "march"),
        ("milo", "running", "ask"),
        ("opa", "compensated", "line_up"),
        ("bo", "completed", "march"),
    ]
    assert [id_ for (id_,) in await parade.rows("SELECT id FROM sagas ORDER BY id")] == ids


async def test_a_key_that_was_used_starts_nothing_and_is_in_nobodys_way(parade: Parade) -> None:
    [rex] = await parade.start("rex")

    again, bo = await parade.start("rex", "bo")

    assert again is None
    assert bo not in (None, rex)
    assert parade.asked[2:] == [("line_up", ["bo"]), ("march", ["bo"])]
    assert await parade.rows("SELECT count(*) FROM sagas") == [(2,)]


async def test_one_key_twice_at_once_starts_one(parade: Parade) -> None:
    assert [id_ is None for id_ in await parade.start("rex", "rex")] == [False, True]


async def test_one_key_twice_in_a_transaction_starts_one(parade: Parade) -> None:
    engine, rex = parade.engine, ("parade", "parade:rex", {"dog": "rex", "is_shy": False})
    async with parade.database.transaction() as tx:
        assert await engine.start(tx, *rex) is not None
        assert await engine.start(tx, *rex) is None


async def test_who_starts_what_another_transaction_is_starting_waits_for_it(parade: Parade) -> None:
    begun = await asyncio.gather(*(parade.start("rex", "bo") for _ in range(8)))

    assert [ids.count(None) for ids in zip(*begun, strict=True)] == [7, 7]
    assert await parade.rows("SELECT count(*) FROM sagas") == [(2,)]


async def test_none_is_started_when_the_step_of_one_fails(parade: Parade) -> None:
    parade.left_behind.add("bo")

    with pytest.raises(ValueError, match="waits for nobody"):
        await parade.start("rex", "bo")

    assert await parade.rows("SELECT FROM sagas") == []
    assert await parade.rows("SELECT FROM outbox") == []


async def test_what_is_done_for_one_of_several_is_in_its_trace(parade: Parade) -> None:
    telemetry.configure_tracing("test", None)

    ids = await parade.start("rex", "bo")

    traces = dict(await parade.rows("SELECT id, substr(trace ->> 'traceparent', 1, 35) FROM sagas"))
    told = dict(await parade.rows("SELECT aggregate::uuid, substr(headers ->> 'traceparent', 1, 35) FROM outbox"))
    assert told == traces
    assert len(set(traces.values())) == len(ids) == 2
