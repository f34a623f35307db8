"""Steps whose commands travel together: one message, one transaction of the participant, one answer.

The refund saga: ask (local), reserve, enter and send (payment, together; send is the pivot), cancel (local).
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.db import Database, Transaction
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.participant import Answer, Pending, Refused, Succeeded, answer, command_consumer
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
]
ALL = ["ReserveRefund", "PostRefundEntry", "SubmitRefund"]


class Desk:
    """Both services. Payment keeps what it was asked, and in which transaction."""

    def __init__(self, booking: Database, paying: Database) -> None:
        self.booking, self.paying = booking, paying
        self.answers: dict[str, Answer] = {"SubmitRefund": Succeeded(payment.RefundSubmitted(refund_status="pending"))}
        self.faults: dict[str, Exception] = {}
        self.command_ids: dict[str, str] = {}
        self.engine = SagaEngine(booking, [REFUND], dict.fromkeys(("ask", "take_back", "cancel"), self._local))

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

    async def until_taken_on(self) -> None:
        async def is_taken_on() -> bool:
            return await self.asked() == ALL

        await eventually(is_taken_on)

    async def sent(self, database: Database) -> list[str]:
        """The subjects of what has left, in its order."""
        return [row.subject for row in await self.rows(database, "SELECT subject FROM outbox ORDER BY id")]


@pytest.fixture
async def desk(database_of: MakeDatabase, broker_of: MakeBroker) -> AsyncIterator[Desk]:
    booking, paying = await database_of("booking"), await database_of("payment")
    asking, answering = await broker_of("booking"), await broker_of("payment")
    made = Desk(booking, paying)
    async with paying.transaction() as tx:
        columns = "id bigint GENERATED ALWAYS AS IDENTITY, name text, xid text DEFAULT pg_current_xact_id()::text"
        await tx.execute(text(f"CREATE TABLE asked ({columns})"))
    async with running(*_work(made, asking, answering)):
        yield made


def _work(desk: Desk, asking: Broker, answering: Broker) -> list[Any]:
    consumer = command_consumer(desk.paying, answering, dict.fromkeys(TYPES, desk.do))
    relays = (Relay(desk.booking, asking).run(), Relay(desk.paying, answering).run())
    return [*relays, desk.engine.consumer(asking).run(), desk.engine.run_timer(), consumer.run()]


async def test_one_message_one_transaction_and_one_answer(desk: Desk) -> None:
    state = await desk.until(await desk.start(), status="completed")
    assert await desk.asked() == ALL
    assert len(await desk.rows(desk.paying, "SELECT DISTINCT xid FROM asked")) == 1
    assert await desk.sent(desk.booking) == ["petpro.commands.payment.reserve_refund"]
    assert await desk.sent(desk.paying) == ["petpro.replies.refund"]
    assert state.data["refund_status"] == "pending"
    lines = await desk.rows(desk.booking, "SELECT kind, step FROM saga_timeline WHERE kind = 'succeeded' ORDER BY id")
    assert [line.step for line in lines] == ["ask", "reserve", "enter", "send", "cancel"]


async def test_behind_a_refused_one_nothing_is_carried_out_and_nothing_stays_claimed(desk: Desk) -> None:
    desk.answers["PostRefundEntry"] = Refused("NO_FEE")
    state = await desk.until(await desk.start(), status="compensated")
    assert await desk.asked() == [*ALL[:2], "ReleaseRefund"]
    claimed = await desk.rows(desk.paying, "SELECT message_id FROM inbox WHERE message_id LIKE '%:send:%'")
    assert (claimed, state.data["failure_reason"]) == ([], "NO_FEE")


async def test_compensations_travel_together_too_in_reverse_order(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = Refused("CLOSED")
    await desk.until(await desk.start(), status="compensated")
    assert await desk.asked() == [*ALL, "CancelRefundEntry", "ReleaseRefund"]
    subjects = ["petpro.commands.payment.reserve_refund", "petpro.commands.payment.cancel_refund_entry"]
    assert await desk.sent(desk.booking) == subjects


async def test_what_one_of_them_breaks_none_has_done(desk: Desk) -> None:
    desk.faults["SubmitRefund"] = ZeroDivisionError()
    await desk.until(await desk.start(), status="completed")
    assert await desk.asked() == ALL, "the first try was rolled back as a whole"


async def test_that_the_last_is_pending_is_told_to_a_copy_and_the_definite_answer_tells_all(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = Pending()
    saga_id = await desk.start()
    await desk.until_taken_on()
    assert (await desk.state(saga_id)).step == "reserve"
    await desk.rows(desk.booking, "UPDATE sagas SET due_at = clock_timestamp()")
    await desk.until(saga_id, step="send")
    assert await desk.asked() == ALL
    async with desk.paying.transaction() as tx:
        sent = Succeeded(payment.RefundSubmitted(refund_status="succeeded"))
        answer(tx, desk.command_ids["SubmitRefund"], sent)
    state = await desk.until(saga_id, status="completed")
    assert state.data["refund_status"] == "succeeded"


async def test_answered_before_anybody_asked_again_it_is_one_reply(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = Pending()
    saga_id = await desk.start()
    await desk.until_taken_on()
    async with desk.paying.transaction() as tx:
        answer(tx, desk.command_ids["SubmitRefund"], Refused("CLOSED"))
    await desk.until(saga_id, status="compensated")
    told = await desk.rows(desk.booking, "SELECT kind, step FROM saga_timeline WHERE kind IN ('refused', 'ignored')")
    assert {(line.kind, line.step) for line in told} == {("refused", "send")}
