"""A definition changes while sagas run on it: each ends on the one that it began with. Database and broker are real.

Dogs come to a kennel. Version 2 takes the deposit first (reordered) and says from whom (a field added), looks whether
the dog is vaccinated (a step added), and sends no receipt (a step removed).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.db import Database, Transaction
from petpro_common.messaging import participant
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.messaging.relay import Relay
from petpro_common.saga import Local, Remote, Saga, SagaEngine, SagaState, Step, StepKind
from petpro_common.saga.engine import UnknownSaga
from petpro_common.saga.model import Action, BadSaga
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

COMPENSATABLE, PIVOT, RETRIABLE = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE
TAKE = Remote("payment", lambda data: payment.TakePayment(payment_id=data["dog"]))
TAKE_FROM = Remote("payment", lambda data: payment.TakePayment(payment_id=data["dog"], user_id=data["owner"]))
GIVE_BACK = Remote("payment", lambda data: payment.CancelPayment(payment_id=data["dog"]))
RECEIPT = Remote("payment", lambda data: payment.PostBookingFee(payment_id=data["dog"]))
PLACES: dict[type, str] = {
    payment.TakePayment: "deposit forward",
    payment.CancelPayment: "deposit backward",
    payment.PostBookingFee: "receipt forward",
}


def _step(name: str, kind: StepKind, do: Action, undo: Action | None = None) -> Step:
    return Step(name, kind, do, undo, patience=timedelta(seconds=0.2))


PLACE = _step("place", COMPENSATABLE, Local("take_place"), Local("free_place"))
CONFIRM = _step("confirm", PIVOT, Local("confirm"))
KENNEL_1 = Saga(
    "kennel",
    1,
    (PLACE, _step("deposit", COMPENSATABLE, TAKE, GIVE_BACK), CONFIRM, _step("receipt", RETRIABLE, RECEIPT)),
)
KENNEL_2 = Saga(
    "kennel",
    2,
    (
        _step("deposit", COMPENSATABLE, TAKE_FROM, GIVE_BACK),
        PLACE,
        _step("check", COMPENSATABLE, Local("check_vaccination")),
        CONFIRM,
    ),
)

GOES_IN_1 = ["place forward", "deposit forward", "confirm forward", "receipt forward"]
SENT_HOME_1 = ["place forward", "deposit forward", "confirm forward", "deposit backward", "place backward"]
GOES_IN_2 = ["deposit forward", "place forward", "check forward", "confirm forward"]
SENT_HOME_2 = [*GOES_IN_2, "place backward", "deposit backward"]


@dataclass
class Kennels:
    """Both services. A dog waits where `waits_at` says, until `all_go_on`."""

    booking: Database
    paying: Database
    asking: Broker
    answering: Broker
    waits_at: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    payers: set[tuple[str, str]] = field(default_factory=set)

    def engine(self, started: Saga, *finishing: Saga) -> SagaEngine:
        names = ("take_place", "free_place", "check_vaccination", "confirm")
        return SagaEngine(self.booking, [started], dict.fromkeys(names, self._local), finishing)

    async def _local(self, tx: Transaction, state: SagaState) -> Answer:
        if self.waits_at.get(state.data["dog"]) == f"{state.step} {state.direction}":
            return Pending()
        return Refused("ILL") if state.step == "confirm" and state.data["is_ill"] else Succeeded()

    async def _remote(self, tx: Transaction, command_id: str, command: Any) -> Answer:
        if isinstance(command, payment.TakePayment):
            self.payers.add((command.payment_id, command.user_id))
        if self.waits_at.get(command.payment_id) == PLACES[type(command)]:
            self.held.append(command_id)
            return Pending()
        return Succeeded()

    def work(self, engine: SagaEngine) -> Any:
        payments = participant.command_consumer(self.paying, self.answering, dict.fromkeys(PLACES, self._remote))
        relays = (Relay(self.booking, self.asking).run(), Relay(self.paying, self.answering).run())
        return running(*relays, payments.run(), engine.consumer(self.asking).run(), engine.run_timer())

    async def arrive(self, engine: SagaEngine, dog: str, is_ill: bool = False, **data: str) -> None:
        async with self.booking.transaction() as tx:
            await engine.start(tx, "kennel", f"kennel:{dog}", {"dog": dog, "is_ill": is_ill, **data})

    async def all_go_on(self) -> None:
        self.waits_at.clear()
        async with self.paying.transaction() as tx:
            for command_id in self.held:
                participant.answer(tx, command_id, Succeeded())

    async def all_wait(self) -> bool:
        stand = {row.data["dog"]: f"{row.step} {row.direction}" for row in await self.rows("SELECT * FROM sagas")}
        return stand == self.waits_at

    async def all_have_ended(self) -> bool:
        return not await self.rows("SELECT 1 FROM sagas WHERE status NOT IN ('completed', 'compensated')")

    async def versions(self) -> dict[str, int]:
        return {row.data["dog"]: row.definition_version for row in await self.rows("SELECT * FROM sagas")}

    async def ways(self) -> dict[str, list[str]]:
        """What each dog's saga asked for, in order, whatever was asked again."""
        lines = await self.rows("""
            SELECT sagas.data ->> 'dog' AS dog, saga_timeline.step || ' ' || saga_timeline.direction AS place
            FROM saga_timeline JOIN sagas ON sagas.id = saga_id WHERE kind = 'sent' ORDER BY saga_id, saga_timeline.id
        """)
        by_dog = groupby(lines, lambda line: line.dog)
        return {dog: [place for place, _ in groupby(line.place for line in asked)] for dog, asked in by_dog}

    async def rows(self, statement: str) -> Sequence[Any]:
        async with self.booking.transaction() as tx:
            return (await tx.execute(text(statement))).all()


@pytest.fixture
async def kennels(database_of: MakeDatabase, broker_of: MakeBroker) -> Kennels:
    booking, paying = await database_of("booking"), await database_of("payment")
    return Kennels(booking, paying, await broker_of("booking"), await broker_of("payment"))


async def test_sagas_in_flight_at_every_step_end_on_the_version_they_began_with(kennels: Kennels) -> None:
    old = kennels.engine(KENNEL_1)
    fit = {f"fit dog at {place}": place for place in GOES_IN_1}
    ill = {f"ill dog at {place}": place for place in SENT_HOME_1}
    kennels.waits_at = {**fit, **ill}
    async with kennels.work(old):
        for dog in (*fit, *ill):
            await kennels.arrive(old, dog, is_ill=dog in ill)
        await eventually(kennels.all_wait)

    new = kennels.engine(KENNEL_2, KENNEL_1)
    async with kennels.work(new):
        await kennels.arrive(new, "new fit dog", owner="sari")
        await kennels.arrive(new, "new ill dog", is_ill=True, owner="sari")
        await kennels.all_go_on()
        await eventually(kennels.all_have_ended)

    new_ways = {"new fit dog": GOES_IN_2, "new ill dog": SENT_HOME_2}
    assert await kennels.ways() == {**dict.fromkeys(fit, GOES_IN_1), **dict.fromkeys(ill, SENT_HOME_1), **new_ways}
    assert await kennels.versions() == {**dict.fromkeys([*fit, *ill], 1), **dict.fromkeys(new_ways, 2)}
    assert kennels.payers == {*((dog, "") for dog in (*fit, *ill)), *((dog, "sari") for dog in new_ways)}


async def test_an_engine_that_lacks_a_version_in_flight_says_so_at_its_start(kennels: Kennels) -> None:
    old, new = kennels.engine(KENNEL_1), kennels.engine(KENNEL_2)
    for dog in ("rex", "bello"):
        await kennels.arrive(old, dog)
    await kennels.arrive(new, "luna", owner="sari")
    with pytest.raises(UnknownSaga, match=r"whose definition is missing: kennel version 1 \(2\)$"):
        await new.run_timer()


async def test_of_sagas_that_have_ended_no_definition_is_needed(kennels: Kennels) -> None:
    await kennels.arrive(kennels.engine(KENNEL_1), "rex")
    await kennels.rows("UPDATE sagas SET status = 'completed', due_at = NULL RETURNING id")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kennels.engine(KENNEL_2).run_timer(), 0.5)


async def test_a_release_finishes_the_next_version_before_it_starts_any(kennels: Kennels) -> None:
    next_release, this_release = kennels.engine(KENNEL_2, KENNEL_1), kennels.engine(KENNEL_1, KENNEL_2)
    kennels.waits_at = {"luna": "check forward"}
    async with kennels.work(next_release):
        await kennels.arrive(next_release, "luna", owner="sari")
        await eventually(kennels.all_wait)
    async with kennels.work(this_release):  # rolled back
        await kennels.arrive(this_release, "rex")
        await kennels.all_go_on()
        await eventually(kennels.all_have_ended)
    assert await kennels.versions() == {"luna": 2, "rex": 1}
    assert await kennels.ways() == {"luna": GOES_IN_2, "rex": GOES_IN_1}


@pytest.mark.parametrize("finishing", [[KENNEL_1], [KENNEL_2, KENNEL_2]])
def test_two_definitions_that_pass_for_one_are_refused(finishing: list[Saga]) -> None:
    with pytest.raises(BadSaga, match="one definition"):
        SagaEngine(Database("postgresql://nowhere", ""), [KENNEL_1], {}, finishing)


def test_of_a_type_one_version_is_started() -> None:
    with pytest.raises(BadSaga, match="one version is started"):
        SagaEngine(Database("postgresql://nowhere", ""), [KENNEL_1, KENNEL_2], {})
