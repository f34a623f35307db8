"""Two services over a real broker and real databases: booking runs a saga, payment takes part in it.

The kennel saga: book a place (local), take a deposit (payment), confirm (local, pivot), send a receipt (payment).
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Database, Transaction
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded, answer, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.saga import Local, Remote, Saga, SagaEngine, SagaState, Step, StepKind, store
from petpro_common.saga.engine import UnknownSaga
from petpro_common.testing import logged
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

SECRET = "rex has run away to Siti, +628123456789"
DEPOSIT = Remote(
    "payment",
    lambda data: commands_pb2.TakePayment(payment_id=data["dog"]),
    commands_pb2.PaymentTaken,
    lambda taken: {"receipt_number": taken.external_reference},
)
GIVE_BACK = Remote("payment", lambda data: commands_pb2.CancelPayment(payment_id=data["dog"]))
RECEIPT = Remote("payment", lambda data: commands_pb2.PostBookingFee(payment_id=data["dog"]))

KENNEL = Saga(
    "kennel",
    1,
    (
        Step("place", StepKind.COMPENSATABLE, Local("take_place"), undo=Local("free_place")),
        Step("deposit", StepKind.COMPENSATABLE, DEPOSIT, undo=GIVE_BACK, patience=timedelta(seconds=0.3)),
        Step("confirm", StepKind.PIVOT, Local("confirm")),
        Step("receipt", StepKind.RETRIABLE, RECEIPT, patience=timedelta(seconds=0.3)),
    ),
)


@dataclass
class Kennel:
    """Both services, and what each was asked to do, in order."""

    booking: Database
    payment: Database
    payment_broker: Broker
    engine: SagaEngine
    asked: list[str] = field(default_factory=list)
    deposit: Answer = field(default_factory=lambda: Succeeded(commands_pb2.PaymentTaken(external_reference="R-1")))
    place_is_free: bool = True
    command_id: str = ""

    def local(self, name: str) -> Any:
        async def handler(tx: Transaction, state: SagaState) -> Answer:
            self.asked.append(name)
            if name == "confirm" and not self.place_is_free:
                return Refused("NO_PLACE")
            return Succeeded()

        return handler

    async def take(self, tx: Transaction, command_id: str, command: commands_pb2.TakePayment) -> Answer:
        self.asked.append("take")
        self.command_id = command_id
        return self.deposit

    async def give_back(self, tx: Transaction, command_id: str, command: commands_pb2.CancelPayment) -> Answer:
        self.asked.append("give back")
        return Succeeded()

    async def receipt(self, tx: Transaction, command_id: str, command: commands_pb2.PostBookingFee) -> Answer:
        self.asked.append("receipt")
        return Succeeded()

    def participant(self) -> Any:
        handlers: Any = {
            commands_pb2.TakePayment: self.take,
            commands_pb2.CancelPayment: self.give_back,
            commands_pb2.PostBookingFee: self.receipt,
        }
        return command_consumer(self.payment, self.payment_broker, handlers).run()

    async def start(self, dog: str) -> Any:
        async with self.booking.transaction() as tx:
            return await self.engine.start(tx, "kennel", f"kennel:{dog}", {"dog": dog})

    async def state(self, saga_id: Any) -> SagaState:
        async with self.booking.transaction() as tx:
            row = await store.one(tx, saga_id)
            assert row is not None
            return store.state_of(row)

    async def until(self, saga_id: Any, status: str) -> SagaState:
        async def reached() -> bool:
            return (await self.state(saga_id)).status == status

        await eventually(reached)
        return await self.state(saga_id)


@pytest.fixture
async def kennel(database_of: MakeDatabase, broker_of: MakeBroker) -> AsyncIterator[Kennel]:
    booking, paying = await database_of("booking"), await database_of("payment")
    asking, answering = await broker_of("booking"), await broker_of("payment")
    made = Kennel(booking, paying, answering, None)  # type: ignore[arg-type]  # the engine needs its handlers first
    names = ("take_place", "free_place", "confirm")
    made.engine = SagaEngine(booking, [KENNEL], {name: made.local(name) for name in names})
    relays = (Relay(booking, asking).run(), Relay(paying, answering).run())
    async with running(*relays, made.engine.consumer(asking).run(), made.engine.run_timer()):
        yield made


async def test_it_goes_through_and_learns_from_replies(kennel: Kennel) -> None:
    async with running(kennel.participant()):
        state = await kennel.until(await kennel.start("rex"), "completed")
    assert kennel.asked == ["take_place", "take", "confirm", "receipt"]
    assert state.data["receipt_number"] == "R-1"


async def test_a_refusal_is_undone_step_by_step(kennel: Kennel) -> None:
    kennel.place_is_free = False
    async with running(kennel.participant()):
        state = await kennel.until(await kennel.start("rex"), "compensated")
    assert kennel.asked == ["take_place", "take", "confirm", "give back", "free_place"]
    assert state.data["failure_reason"] == "NO_PLACE"


async def test_a_business_key_starts_one_saga(kennel: Kennel) -> None:
    first, second = await asyncio.gather(kennel.start("rex"), kennel.start("rex"))
    assert [first, second].count(None) == 1
    assert kennel.asked == ["take_place"]


async def test_a_pending_step_is_answered_later_and_asking_again_does_not_run_it_again(kennel: Kennel) -> None:
    kennel.deposit = Pending()
    async with running(kennel.participant()):
        saga_id = await kennel.start("rex")

        async def asked_three_times() -> bool:
            return (await kennel.state(saga_id)).attempt >= 3

        await eventually(asked_three_times)
        assert kennel.asked == ["take_place", "take"]
        async with kennel.payment.transaction() as tx:
            answer(tx, kennel.command_id, Succeeded(commands_pb2.PaymentTaken(external_reference="R-9")))
        async with kennel.payment.transaction() as tx:
            answer(tx, kennel.command_id, Refused("TOO_LATE"))
        state = await kennel.until(saga_id, "completed")
    assert state.data["receipt_number"] == "R-9"


async def test_a_participant_that_was_away_finds_its_command_when_it_comes_back(kennel: Kennel) -> None:
    saga_id = await kennel.start("rex")

    async def asked_twice() -> bool:
        return (await kennel.state(saga_id)).attempt >= 2

    await eventually(asked_twice)
    assert (await kennel.state(saga_id)).status == "running"
    async with running(kennel.participant()):
        await kennel.until(saga_id, "completed")
    assert kennel.asked.count("take") == 1


async def test_many_at_once_end_once_each(kennel: Kennel) -> None:
    async with running(kennel.participant()):
        sagas = await asyncio.gather(*(kennel.start(f"dog {number}") for number in range(60)))
        for saga_id in sagas:
            await kennel.until(saga_id, "completed")
    assert {step: kennel.asked.count(step) for step in set(kennel.asked)} == {
        "take_place": 60,
        "take": 60,
        "confirm": 60,
        "receipt": 60,
    }


async def test_what_the_caller_rolls_back_was_never_started(kennel: Kennel) -> None:
    with pytest.raises(ZeroDivisionError):
        await _start_and_fail(kennel)
    async with kennel.booking.transaction() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM sagas"))).scalar() == 0
        assert (await tx.execute(text("SELECT count(*) FROM outbox"))).scalar() == 0


async def _start_and_fail(kennel: Kennel) -> None:
    async with kennel.booking.transaction() as tx:
        await kennel.engine.start(tx, "kennel", "kennel:rex", {"dog": "rex"})
        raise ZeroDivisionError


async def test_a_saga_that_cannot_go_on_holds_up_no_other(database_of: MakeDatabase) -> None:
    async def asked(tx: Transaction, state: SagaState) -> Answer:
        if state.attempt == 1:
            return Pending()
        if state.data["dog"] == "rex":
            raise ValueError(SECRET)
        return Succeeded()

    walk = Saga("walk", 1, (Step("ask", StepKind.COMPENSATABLE, Local("ask"), patience=timedelta(seconds=0.1)),))
    booking = await database_of("booking")
    engine = SagaEngine(booking, [walk], {"ask": asked})
    kennel = Kennel(booking, booking, None, engine)  # type: ignore[arg-type]  # nothing is sent
    async with booking.transaction() as tx:
        stuck = await engine.start(tx, "walk", "walk:rex", {"dog": "rex"})
        other = await engine.start(tx, "walk", "walk:bo", {"dog": "bo"})
    with logged() as lines:
        async with running(engine.run_timer()):
            await kennel.until(other, "completed")
    assert (await kennel.state(stuck)).status == "running"
    line = next(line for line in lines if line["event"] == "saga cannot go on")
    assert [fault["kind"] for fault in line["exception"]] == ["builtins.ValueError"]
    assert SECRET not in str(lines)


async def test_what_a_participant_keeps_of_a_command_is_not_what_it_says(kennel: Kennel) -> None:
    async with running(kennel.participant()):
        await kennel.until(await kennel.start("rex"), "completed")
    async with kennel.payment.transaction() as tx:
        kept = (await tx.execute(text("SELECT command FROM inbox WHERE command IS NOT NULL"))).scalars()
    assert kept
    assert not any(b"rex" in bytes(command) for command in kept)


async def test_an_engine_without_all_its_handlers_does_not_start(database_of: MakeDatabase) -> None:
    with pytest.raises(UnknownSaga, match="confirm"):
        SagaEngine(await database_of("booking"), [KENNEL], {})
