"""A desk where money is given back: both services of the refund saga, and what each has sent and was asked.

The saga: ask (local), reserve, enter and send (payment, together; send is the pivot), cancel (local). Payment keeps
what it was asked, and in which transaction.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.db import Database, Transaction
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.participant import Answer, Succeeded, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.saga import Local, Remote, Saga, SagaEngine, SagaState, Step, StepKind, store
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

COMPENSATABLE, PIVOT, RETRIABLE = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE
RESERVE = Remote("payment", lambda data: payment.ReserveRefund(refund_id=data["dog"]))
RELEASE = Remote("payment", lambda data: payment.ReleaseRefund(refund_id=data["dog"]))
ENTER = Remote("payment", lambda data: payment.PostRefundEntry(refund_id=data["dog"]))
STRIKE = Remote("payment", lambda data: payment.CancelRefundEntry(booking_id=data["dog"]))
SEND = Remote(
    "payment",
    lambda data: payment.SubmitRefund(refund_id=data["dog"]),
    payment.RefundSubmitted,
    lambda sent: {"refund_status": sent.refund_status},
)
PATIENT = timedelta(minutes=1)
REFUND = Saga(
    "refund",
    1,
    (
        Step("ask", COMPENSATABLE, Local("ask"), undo=Local("take_back")),
        Step("reserve", COMPENSATABLE, RESERVE, undo=RELEASE, patience=PATIENT),
        Step("enter", COMPENSATABLE, ENTER, undo=STRIKE, along=True, patience=PATIENT),
        Step("send", PIVOT, SEND, along=True, patience=PATIENT),
        Step("cancel", RETRIABLE, Local("cancel")),
    ),
)
TYPES: list[type[Message]] = [
    payment.ReserveRefund,
    payment.PostRefundEntry,
    payment.SubmitRefund,
    payment.CancelRefundEntry,
    payment.ReleaseRefund,
    payment.SettleRefundEntry,
]
ALL = ["ReserveRefund", "PostRefundEntry", "SubmitRefund"]


class Desk:
    """Both services. What payment answers is set by the name of the command's type; else it has succeeded."""

    def __init__(self, booking: Database, paying: Database, saga: Saga) -> None:
        self.booking, self.paying = booking, paying
        self.answers: dict[str, Answer] = {"SubmitRefund": Succeeded(payment.RefundSubmitted(refund_status="pending"))}
        self.faults: dict[str, Exception] = {}
        self.command_ids: dict[str, str] = {}
        self.engine = SagaEngine(booking, [saga], dict.fromkeys(("ask", "take_back", "cancel"), self._local))

    async def _local(self, tx: Transaction, state: SagaState) -> Answer:
        return Succeeded()

    async def do(self, tx: Transaction, command_id: str, command: Message) -> Answer:
        name = command.DESCRIPTOR.name
        self.command_ids[name] = command_id
        await tx.execute(
            text("INSERT INTO asked (name, xid) VALUES (:name, pg_current_xact_id()::text)"), {"name": name}
        )
        if fault := self.faults.pop(name, None):
            raise fault
        return self.answers.get(name, Succeeded())

    async def asked(self) -> list[str]:
        return [row.name for row in await self.rows(self.paying, "SELECT name FROM asked ORDER BY id")]

    async def rows(self, database: Database, statement: str) -> list[Any]:
        async with database.transaction() as tx:
            return list(await tx.execute(text(statement)))

    async def start(self) -> Any:
        async with self.booking.transaction() as tx:
            return await self.engine.start(tx, "refund", "refund:rex", {"dog": "rex"})

    async def state(self, saga_id: Any) -> SagaState:
        async with self.booking.transaction() as tx:
            row = await store.one(tx, saga_id)
            assert row is not None
            return store.state_of(row)

    async def until(self, saga_id: Any, **wanted: object) -> SagaState:
        async def is_reached() -> bool:
            state = await self.state(saga_id)
            return all(getattr(state, name) == value for name, value in wanted.items())

        await eventually(is_reached)
        return await self.state(saga_id)

    async def until_asked(self, names: list[str]) -> None:
        async def is_taken_on() -> bool:
            return await self.asked() == names

        await eventually(is_taken_on)

    async def sent(self, database: Database) -> list[str]:
        """The subjects of what has left, in its order."""
        return [row.subject for row in await self.rows(database, "SELECT subject FROM outbox ORDER BY id")]


@asynccontextmanager
async def open_desk(database_of: MakeDatabase, broker_of: MakeBroker, saga: Saga = REFUND) -> AsyncIterator[Desk]:
    """Both services, running."""
    booking, paying = await database_of("booking"), await database_of("payment")
    asking, answering = await broker_of("booking"), await broker_of("payment")
    made = Desk(booking, paying, saga)
    async with paying.transaction() as tx:
        columns = "id bigint GENERATED ALWAYS AS IDENTITY, name text, xid text DEFAULT pg_current_xact_id()::text"
        await tx.execute(text(f"CREATE TABLE asked ({columns})"))
    async with running(*_work(made, asking, answering)):
        yield made


def _work(desk: Desk, asking: Broker, answering: Broker) -> list[Any]:
    consumer = command_consumer(desk.paying, answering, dict.fromkeys(TYPES, desk.do))
    relays = (Relay(desk.booking, asking).run(), Relay(desk.paying, answering).run())
    return [*relays, desk.engine.consumer(asking).run(), desk.engine.run_timer(), consumer.run()]
