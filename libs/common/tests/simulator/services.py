"""The two services: booking runs the sagas, payment takes part. The work that they do is played; the rest is real.

The work is careless on purpose: asked twice, it is done twice. Only the code under test keeps it from being asked.
It keeps what the participants of PetPro keep: what was called off before it came is never done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias, cast
from uuid import UUID

from google.protobuf.message import Message

from libs.common.tests.simulator.database import Database, Transaction
from libs.common.tests.simulator.pauses import Clock
from libs.common.tests.simulator.sagas import BACKWARD, COMMANDS, FORWARD, LOCAL_STEPS, SAGAS
from libs.common.tests.simulator.server import Client, Server
from libs.common.tests.simulator.tables import Counter, Tables
from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.messaging import participant
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded
from petpro_common.messaging.relay import Relay
from petpro_common.messaging.subjects import COMMANDS as COMMANDS_STREAM
from petpro_common.messaging.subjects import REPLIES
from petpro_common.saga.engine import SagaEngine
from petpro_common.saga.model import Direction, Saga, SagaState, StepKind
from petpro_common.saga.moves import AllAtStep, LocalHandler, OneByOne
from petpro_common.together import Together

Plans: TypeAlias = dict[tuple[str, str], "Plan"]
VOID, PENDING, DONE, UNDONE = "called off", "pending", "done", "undone"
_MAY_PEND = {"pay", "entry", "submit", "settle"}


@dataclass(frozen=True)
class Plan:
    """What becomes of one step of one saga: whether it is refused, and how long it is pending (None: not at all)."""

    is_refused: bool = False
    pending_for: float | None = None


@dataclass
class Work:
    """What a service does for steps, in the transaction that it is given."""

    clock: Clock
    plans: Plans

    def do(self, tx: Transaction, command_id: str, key: str, step: str) -> Answer:
        if tx.tables.works.get((key, step)) == VOID:
            return Refused("CALLED_OFF")
        waits = step == "settle" and tx.tables.works.get((key, "submit")) == PENDING
        if waits or self.plans[key, step].pending_for is not None:
            due_at = inf if waits else self._due_at(key, step)
            tx.put(tx.tables.works, (key, step), PENDING)
            decision = SimpleNamespace(command_id=command_id, key=key, step=step, due_at=due_at, is_made=False)
            tx.put(tx.tables.decisions, command_id, decision)
            return Pending()
        return self._definite(tx, key, step)

    def _due_at(self, key: str, step: str) -> float:
        return self.clock.seconds + (self.plans[key, step].pending_for or 0.0)

    def waiting_for(self, tx: Transaction, decision: Any) -> list[Any]:
        """What went ahead of a decision that was made, and can be decided with it; the rest is due later."""
        behind = [each for each in tx.tables.decisions.values() if each.key == decision.key and each.due_at == inf]
        if decision.step != "submit" or tx.tables.works[decision.key, "submit"] != DONE:
            return []
        later = [each for each in behind if self.plans[each.key, each.step].pending_for is not None]
        for each in later:
            due_at = self._due_at(each.key, each.step)
            tx.put(tx.tables.decisions, each.command_id, SimpleNamespace(**{**vars(each), "due_at": due_at}))
        return [each for each in behind if each not in later]

    def decide(self, tx: Transaction, key: str, step: str) -> Succeeded | Refused:
        """The end of a pending step."""
        if tx.tables.works.get((key, step)) != PENDING:
            return Refused("CALLED_OFF")
        return self._definite(tx, key, step)

    def _definite(self, tx: Transaction, key: str, step: str) -> Succeeded | Refused:
        if self.plans[key, step].is_refused:
            tx.put(tx.tables.works, (key, step), "refused")
            return Refused("NO")
        tx.effect(key, step, FORWARD)
        tx.put(tx.tables.works, (key, step), DONE)
        return Succeeded(payment.PaymentTaken(external_reference=key) if step == "pay" else None)

    def undo(self, tx: Transaction, key: str, step: str) -> Answer:
        if tx.tables.works.get((key, step)) in (DONE, UNDONE):
            tx.effect(key, step, BACKWARD)
            tx.put(tx.tables.works, (key, step), UNDONE)
        else:
            tx.put(tx.tables.works, (key, step), VOID)
        return Succeeded()


class Process:
    """One life of a service. What it holds in memory ends with it; the tables stay."""

    stream = ""

    def __init__(self, name: str, tables: Tables, server: Server, work: Work) -> None:
        self.tables, self.work = tables, work
        self.database = Database(tables)
        self.client = Client(server, name)
        self.relay = Relay(cast(Any, self.database), cast(Any, self.client))
        self.consumer = self.make_consumer()

    def make_consumer(self) -> Consumer:
        raise NotImplementedError

    async def handle(self, messages: Sequence[Any]) -> None:
        """Messages of different keys, as a batch, and what that leaves by itself."""
        left = await self.consumer._together({self.consumer._key_of(message): message for message in messages})
        for message in left.values():
            await self.consumer._by_itself(message)

    async def make_decision(self, decision: Any) -> None:
        raise NotImplementedError


class Booking(Process):
    """Runs the sagas."""

    stream = REPLIES

    def make_consumer(self) -> Consumer:
        local: dict[str, LocalHandler] = {step: self._together(step) for step in LOCAL_STEPS}
        local |= {f"un_{step}": self._undone_by_itself(step) for step in LOCAL_STEPS}
        self.engine = SagaEngine(cast(Any, self.database), SAGAS, local)
        return self.engine.consumer(cast(Any, self.client))

    def _together(self, step: str) -> AllAtStep:
        async def handle(tx: Any, states: Sequence[SagaState]) -> Sequence[Answer]:
            return [self.work.do(tx, str(state.id), state.business_key, step) for state in states]

        return Together(handle)

    def _undone_by_itself(self, step: str) -> OneByOne:
        async def handle(tx: Any, state: SagaState) -> Answer:
            return self.work.undo(tx, state.business_key, step)

        return handle

    async def start(self, saga_type: str, key: str, data: dict[str, Any]) -> None:
        async with self.database.transaction() as tx:
            await self.engine.start(cast(Any, tx), saga_type, key, data)

    async def time_out(self) -> None:
        await self.engine.timer.round()

    async def make_decision(self, decision: Any) -> None:
        async with self.database.transaction() as tx:
            before = tx.mark()
            decided = self.work.decide(tx, decision.key, decision.step)
            if not await self.engine.answer(cast(Any, tx), UUID(decision.command_id), decision.step, decided):
                tx.roll_back(before)  # the clinic is told that it is too late
            _made(tx, decision)


class Payment(Process):
    """Takes part in sagas."""

    stream = COMMANDS_STREAM

    def make_consumer(self) -> Consumer:
        handlers = {kind: self._handler(*what) for kind, what in COMMANDS.items()}
        return participant.command_consumer(cast(Any, self.database), cast(Any, self.client), handlers)

    def _handler(self, step: str, direction: Direction) -> participant.CommandHandler:
        async def handle(tx: Any, command_id: str, command: Message) -> Answer:
            ((_, key),) = command.ListFields()
            if direction is BACKWARD:
                return self.work.undo(tx, str(key), step)
            return self.work.do(tx, command_id, str(key), step)

        return handle

    async def make_decision(self, decision: Any) -> None:
        async with self.database.transaction() as tx:
            self._decide(tx, decision)
            for waiting in self.work.waiting_for(tx, decision):
                self._decide(tx, waiting)

    def _decide(self, tx: Transaction, decision: Any) -> None:
        decided = self.work.decide(tx, decision.key, decision.step)
        participant.answer(cast(Any, tx), decision.command_id, decided)
        _made(tx, decision)

    async def contradict(self, decision: Any) -> None:
        """The provider says the other thing later on."""
        async with self.database.transaction() as tx:
            was_done = tx.tables.works.get((decision.key, decision.step)) == DONE
            participant.answer(cast(Any, tx), decision.command_id, Refused("AFTER_ALL") if was_done else Succeeded())


def _made(tx: Transaction, decision: Any) -> None:
    tx.put(tx.tables.decisions, decision.command_id, SimpleNamespace(**{**vars(decision), "is_made": True}))


def make_plans(key: str, saga: Saga, dice: Random) -> Plans:
    """What becomes of a saga's steps. The steps after its pivot are never refused."""
    plans = {}
    for step in saga.steps:
        is_refused = step.kind is not StepKind.RETRIABLE and dice.random() < 0.12
        pends = step.name == "approve" or (step.name in _MAY_PEND and dice.random() < 0.5)
        plans[key, step.name] = Plan(is_refused, dice.expovariate(1 / 15) if pends else None)
    return plans


def new_tables(clock: Clock, order: Counter) -> dict[str, Tables]:
    """The empty tables of both services; one counter gives the order of everything."""
    return {name: Tables(clock, order) for name in ("booking", "payment")}
