"""The cancellation on PetPro's own saga engine and messaging, with nothing else of PetPro around it.

    engine --outbox, relay--> JetStream --> participants --outbox, relay--> JetStream --> engine

Booking's steps are local ones, payment's are commands, as in PetPro. A step is given all sagas that are at it, and has
PostgreSQL change the rows of all by one statement (`together`). The provider is asked by a worker, between two
transactions: the command is taken on, and answered when the provider has answered.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakKeyDictionary

import uvloop
from google.protobuf.message import Message
from sqlalchemy import text

from bench.peers import steps, together, worker
from petpro.payment.v1 import commands_pb2 as payment
from petpro_common import logs, memory
from petpro_common.coalescing import Coalescer
from petpro_common.db import Database, Transaction
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.participant import Answer, CommandsHandler, Pending, Succeeded, answer, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.saga import Local, Remote, Saga, SagaEngine, SagaState, Step, StepKind
from petpro_common.saga.engine import Operated, Start
from petpro_common.saga.moves import AllAtStep, Move
from petpro_common.together import Together

ROLE = os.environ["PETPRO_ROLE"]
ALONG = os.environ["PETPRO_ALONG"] == "yes"
POOL = 10
_BATCH = 64
_LOW_BITS = (1 << 120) - 1
RELEASE = text("""
    UPDATE bookings SET cancellation_status = 'none'
    WHERE id = ANY(CAST(:bookings AS uuid[])) AND status = 'confirmed'
""")
TAKEN_ON = text("UPDATE refunds SET status = 'submitted' WHERE id = ANY(CAST(:refunds AS uuid[]))")


def _command(service: str, kind: type[Message]) -> Remote:
    """An order that names the refund, by which the participant finds everything else."""
    field = "refund_id" if "refund_id" in kind.DESCRIPTOR.fields_by_name else "entry_id"
    return Remote(service, lambda data: kind(**{field: str(steps.identity(3, data["number"]))}))


def cancellation(service: str) -> Saga:
    """PetPro's definition, with all steps in the order in which the peers have them."""
    compensatable, retriable = StepKind.COMPENSATABLE, StepKind.RETRIABLE
    release, cancel_entry = _command(service, payment.ReleaseRefund), _command(service, payment.CancelRefundEntry)
    return Saga("peer_cancellation", 1, (
        Step("request", compensatable, Local("request"), undo=Local("release")),
        Step("reserve_refund", compensatable, _command(service, payment.ReserveRefund), undo=release),
        Step("post_refund_entry", compensatable, _command(service, payment.PostRefundEntry), undo=cancel_entry,
             along=ALONG),
        Step("submit_refund", StepKind.PIVOT, _command(service, payment.SubmitRefund), along=ALONG),
        Step("cancel_booking", retriable, Local("cancel_booking")),
        Step("settle_refund", retriable, _command(service, payment.SettleRefundEntry), ahead=ALONG),
    ))  # fmt: skip


def _local(step: str) -> AllAtStep:
    async def handle(tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
        tx.write(*together.bound(step, [state.data["number"] for state in states]))
        return [Succeeded()] * len(states)

    return Together(handle)


async def _release(tx: Transaction, states: Sequence[SagaState]) -> Sequence[Answer]:
    tx.write(RELEASE, {"bookings": [steps.identity(1, state.data["number"]) for state in states]})
    return [Succeeded()] * len(states)


def _number_of(command: Any) -> int:
    return UUID(getattr(command, "refund_id", "") or command.entry_id).int & _LOW_BITS


class Engine(SagaEngine):
    """Tells whoever waits that a saga has ended, once that has committed."""

    def __init__(self, database: Database, service: str) -> None:
        local = {step: _local(step) for step in ("request", "cancel_booking")} | {"release": Together(_release)}
        super().__init__(database, [cancellation(service)], local)
        self._waiting: dict[int, asyncio.Event] = {}
        self._ended: list[int] = []
        self._starts: Coalescer[Start, UUID | None] = Coalescer(
            self._begin_all, lambda start: start.business_key, _BATCH
        )
        database.listen("ended", lambda _: self._tell())

    async def begin(self, number: int) -> None:
        """Starts a cancellation; one that was begun before is left to go on."""
        await self._starts.do(Start("peer_cancellation", f"cancellation:{number}", {"number": number}))

    async def _begin_all(self, starts: Sequence[Start]) -> Sequence[UUID | None]:
        async with self._database.transaction() as tx:
            return await self.start_all(tx, starts)

    async def run(self, number: int) -> None:
        """Starts a cancellation and waits for its end."""
        ended = self._waiting[number] = asyncio.Event()
        await self.begin(number)
        await ended.wait()

    async def _carry_out(self, tx: Transaction, moves: Sequence[Move]) -> list[Operated]:
        done = await super()._carry_out(tx, moves)
        self._ended += [each.state.data["number"] for each in done if each.state.has_ended]
        tx.tell("ended")
        return done

    def _tell(self) -> None:
        ended, self._ended = self._ended, []
        for number in ended:
            if number in self._waiting:
                self._waiting.pop(number).set()


class Participants:
    """Payment's half: commands that are at hand share a transaction, and so do the provider's answers.

    Of a refund that is to be sent to the provider the commands are known that wait for its answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taken_on: WeakKeyDictionary[Transaction, dict[int, list[str]]] = WeakKeyDictionary()
        self._at_work: set[asyncio.Task[None]] = set()
        self._answers = Coalescer(self._answer_all, key_of=lambda _: None, batch=_BATCH)

    @property
    def handlers(self) -> dict[type[Message], CommandsHandler]:
        """One for each command of a cancellation that is never refused: nothing is undone here."""
        return {
            payment.ReserveRefund: self._writes("reserve_refund"),
            payment.PostRefundEntry: self._writes("post_refund_entry"),
            payment.SubmitRefund: Together(self._take_on),
            payment.SettleRefundEntry: Together(self._settle),
        }

    def _writes(self, step: str) -> CommandsHandler:
        async def handle(tx: Transaction, commands: Sequence[tuple[str, Any]]) -> Sequence[Answer]:
            tx.write(*together.bound(step, [_number_of(command) for _, command in commands]))
            return [Succeeded()] * len(commands)

        return Together(handle)

    async def _take_on(self, tx: Transaction, commands: Sequence[tuple[str, Any]]) -> Sequence[Answer]:
        tx.write(TAKEN_ON, {"refunds": [UUID(command.refund_id) for _, command in commands]})
        taken_on = self._taken_on[tx] = {_number_of(command): [command_id] for command_id, command in commands}
        tx.after_commit(lambda: self._go_to_work(taken_on))
        return [Pending()] * len(commands)

    async def _settle(self, tx: Transaction, commands: Sequence[tuple[str, Any]]) -> Sequence[Answer]:
        """Settles entries: those of refunds that are taken on right now with the provider's answer, as payment does."""
        taken_on = self._taken_on.get(tx, {})
        numbers = [_number_of(command) for _, command in commands]
        if now := [number for number in numbers if number not in taken_on]:
            tx.write(*together.bound("settle_refund", now))
        for number, (command_id, _) in zip(numbers, commands, strict=True):
            if number in taken_on:
                taken_on[number].append(command_id)
        return [Pending() if number in taken_on else Succeeded() for number in numbers]

    def _go_to_work(self, taken_on: dict[int, list[str]]) -> None:
        for number, command_ids in taken_on.items():
            task = asyncio.create_task(self._submit(number, command_ids))
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    async def _submit(self, number: int, command_ids: list[str]) -> None:
        await steps.submit_refund(number)
        await self._answers.do((number, command_ids))

    async def _answer_all(self, answered: Sequence[tuple[int, list[str]]]) -> Sequence[None]:
        to_settle = [number for number, command_ids in answered if len(command_ids) > 1]
        async with self._database.transaction() as tx:
            if to_settle:
                tx.write(*together.bound("settle_refund", to_settle))
            for command_id in sorted(command_id for _, command_ids in answered for command_id in command_ids):
                answer(tx, command_id, Succeeded())
        return [None] * len(answered)


async def main() -> None:
    """Starts one half or both, and serves orders."""
    memory.hoard_nothing()
    logs.configure("peer", "ERROR")
    nats = urlsplit(os.environ["PEER_NATS_URL"])
    broker = Broker(nats.username or "", f"nats://{nats.hostname}:{nats.port}", nats.password or "")
    url = os.environ["PEER_DATABASE_URL"]
    database = Database(url, urlsplit(url).password or "", POOL)
    await broker.connect()
    engine, relay = Engine(database, broker.service), Relay(database, broker)
    work = [relay.run(), relay.hear()]
    if ROLE != "participants":
        work += [engine.consumer(broker).run(), engine.run_timer()]
    if ROLE != "orchestrator":
        work += [command_consumer(database, broker, Participants(database).handlers).run()]
    running = [asyncio.create_task(each) for each in work]
    memory.freeze()
    await worker.serve(engine.run, engine.begin)
    for task in running:
        task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
