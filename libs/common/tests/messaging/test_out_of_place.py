"""Who may say what goes by the subject: what else a sender says of a message is not believed.

Each speaks on a real broker, as the NATS user that it is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats as nats_client
import orjson
import pytest
from google.protobuf.message import Message
from sqlalchemy import text

from devstack import testing
from libs.common.tests.messaging.desk import FAILED, Desk, is_parked, opened, redrive
from petpro.payment.v1 import commands_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging.consumer import Consumer, Unprocessable
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.participant import Answer, Pending, Succeeded, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.messaging.subjects import command_subject
from petpro_common.saga import Local, Remote, Saga, SagaEngine, SagaState, Step, StepKind, store
from petpro_common.testing import KeyRing
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

CLINIC, DEWI = new_id(), new_id()
OURS = "petpro.events.clinic.changed"
PARKED = "SELECT message_id, subject, error FROM parked_messages"
TAKE = Remote("payment", lambda data: commands_pb2.TakePayment(payment_id=data["dog"]))
KENNEL = Saga(
    "kennel",
    1,
    (
        Step("approve", StepKind.COMPENSATABLE, Local("ask_the_keeper")),
        Step("pay", StepKind.PIVOT, TAKE),
    ),
)


@pytest.fixture
async def desk(database_of: MakeDatabase, tmp_path: Any) -> AsyncIterator[Desk]:
    async with opened(await database_of("booking"), KeyRing(tmp_path)) as made:
        yield made


@asynccontextmanager
async def speaking_as(nats: testing.Broker, service: str) -> AsyncIterator[Any]:
    """A program that has a service's password for NATS, and says what it likes."""
    connection = await nats_client.connect(nats.service_urls[service], inbox_prefix=f"_INBOX_{service}".encode())
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


class Listener:
    """What booking hears of clinics, and of who was erased."""

    def __init__(self, database: Database, broker: Any) -> None:
        self.erased: list[str] = []
        self.clinics: list[str] = []
        handlers = {"clinic.changed": self._on_clinic, "user.erased": self._on_erased}
        self.consumer = event_consumer(database, broker, handlers)

    async def _on_clinic(self, _: Transaction, event: Event) -> None:
        self.clinics.append(event["clinic_id"])

    async def _on_erased(self, _: Transaction, event: Event) -> None:
        self.erased.append(event["user_id"])


async def test_an_event_is_of_the_type_that_its_sender_may_say(
    desk: Desk, broker_of: MakeBroker, database_of: MakeDatabase, nats: testing.Broker
) -> None:
    """Whoever had catalog's password could have anybody erased by all others."""
    listener = Listener(desk.database, await broker_of("booking"))
    stub = await desk.served(listener.consumer)
    name = str(new_id())
    headers = {"Nats-Msg-Id": name, "ce-id": name, "ce-type": "user.erased", "ce-source": "petpro/account"}
    erased = orjson.dumps({"event_type": "user.erased", "user_id": str(DEWI), "version": 9})
    account, catalog = await database_of("account"), await database_of("catalog")
    relays = (Relay(account, await broker_of("account")).run(), Relay(catalog, await broker_of("catalog")).run())
    async with running(listener.consumer.run(), *relays):
        async with speaking_as(nats, "catalog") as forger:
            await forger.publish(OURS, erased, headers={**headers, "ce-subject": str(DEWI)})
        await eventually(lambda: is_parked(desk))
        await say(catalog, "catalog", "clinic.changed", {"clinic_id": str(CLINIC)})
        await say(account, "account", "user.erased", {"user_id": "somebody else"})
        await eventually(lambda: bool(listener.clinics and listener.erased))
    assert (listener.clinics, listener.erased) == ([str(CLINIC)], ["somebody else"])
    [(message_id, subject, error)] = await desk.rows(PARKED)
    assert (message_id, subject) == ("PETPRO_EVENTS:1", OURS), "what it is called may be another's name too"
    assert "OutOfPlace" in error
    assert [outcome for _, outcome in await redrive(desk, stub, subject=OURS)] == [FAILED]
    assert listener.erased == ["somebody else"]


async def say(database: Database, service: str, event_type: str, fields: dict[str, Any]) -> None:
    async with database.transaction() as tx:
        add_event(tx, service, event_type, new_id(), fields)


TAKING, CANCELLING = commands_pb2.TakePayment(payment_id="rex"), commands_pb2.CancelPayment(payment_id="rex")
REPLIES = "petpro.replies.kennel"


@pytest.mark.parametrize(
    ("said", "given", "reply_to"),
    [
        (TAKING, CANCELLING, REPLIES),
        (TAKING, TAKING, "petpro.events.payment.succeeded"),
        (TAKING, TAKING, "$JS.API.CONSUMER.DELETE.PETPRO_COMMANDS.payment"),
        (TAKING, TAKING, f"{REPLIES} 0\r\n\r\nPUB petpro.events.refund.succeeded"),
        (TAKING, TAKING, "petpro.replies.>"),
        (TAKING, TAKING, ""),
    ],
    ids=["another command", "an event", "the broker", "two in one", "any", "nowhere"],
)
async def test_a_command_is_what_its_subject_names_and_is_answered_where_replies_go(
    desk: Desk, broker_of: MakeBroker, nats: testing.Broker, said: Message, given: Message, reply_to: str
) -> None:
    """The answer goes out by the participant's own rights: it may say more than who gives the command."""
    done: list[str] = []

    async def do(_: Transaction, command_id: str, __: Message) -> Answer:
        done.append(command_id)
        return Succeeded()

    kinds = (commands_pb2.TakePayment, commands_pb2.CancelPayment)
    consumer = command_consumer(desk.database, await broker_of("payment"), dict.fromkeys(kinds, do))
    async with running(consumer.run()), speaking_as(nats, "booking") as booking:
        await booking.publish(command_subject("payment", said), command("forged", given, reply_to))
        await eventually(lambda: is_parked(desk))
        await booking.publish(command_subject("payment", TAKING), command("honest", TAKING, REPLIES))
        await eventually(lambda: done == ["honest"])
    assert await desk.rows("SELECT subject FROM outbox") == [(REPLIES,)]
    assert "OutOfPlace" in (await desk.rows(PARKED))[0][2]


async def test_what_travels_with_a_command_is_answered_where_replies_go_too(desk: Desk, broker_of: MakeBroker) -> None:
    async def do(_: Transaction, __: str, ___: Message) -> Answer:
        return Succeeded()

    kinds = (commands_pb2.TakePayment, commands_pb2.CancelPayment)
    consumer = command_consumer(desk.database, await broker_of("payment"), dict.fromkeys(kinds, do))
    first = saga_pb2.Command.FromString(command("first", TAKING, REPLIES))
    for reply_to in ("petpro.events.payment.succeeded", REPLIES):
        first.next.append(saga_pb2.Command.FromString(command(reply_to, CANCELLING, reply_to)))
    with pytest.raises(Unprocessable, match="no replies go"):
        await consumer.redrive(command_subject("payment", TAKING), {}, first.SerializeToString())
    del first.next[0]
    await consumer.redrive(command_subject("payment", TAKING), {}, first.SerializeToString())
    assert await desk.rows("SELECT subject FROM outbox") == [(REPLIES,)]


def command(command_id: str, payload: Message, reply_to: str) -> bytes:
    made = saga_pb2.Command(command_id=command_id, saga_id=str(new_id()), reply_to=reply_to, attempt=1)
    made.payload.Pack(payload)
    return made.SerializeToString()


class Keeper:
    """booking, whose sagas wait for the keeper of the kennel to approve; payment asks in vain to be believed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = SagaEngine(database, [KENNEL], {"ask_the_keeper": self._ask})

    async def _ask(self, _: Transaction, __: SagaState) -> Answer:
        return Pending()

    async def start(self, dog: str) -> Any:
        async with self.database.transaction() as tx:
            return await self.engine.start(tx, "kennel", dog, {"dog": dog})

    async def approve(self, saga_id: Any) -> None:
        async with self.database.transaction() as tx:
            assert await self.engine.answer(tx, saga_id, "approve", Succeeded())

    async def step(self, saga_id: Any) -> str:
        async with self.database.transaction() as tx:
            row = await store.one(tx, saga_id)
        assert row is not None
        return str(store.state_of(row).step)


@pytest.mark.parametrize(
    ("step", "subject", "before"),
    [("approve", REPLIES, ""), ("pay", REPLIES, "approve"), ("pay", "petpro.replies.walk", "")],
    ids=["the keeper's step", "along with another", "sagas of another type"],
)
async def test_a_participant_answers_what_it_was_asked_and_nothing_else(
    desk: Desk, broker_of: MakeBroker, nats: testing.Broker, step: str, subject: str, before: str
) -> None:
    """payment could approve in a clinic's place."""
    keeper = Keeper(desk.database)
    consumer = keeper.engine.consumer(await broker_of("booking"))
    consumer._subjects.append("petpro.replies.walk")  # as of an engine with sagas of two types
    rex, bo = await keeper.start("rex"), await keeper.start("bo")
    if step == "pay" and not before:
        await keeper.approve(rex)
    at = await keeper.step(rex)
    async with running(consumer.run()), speaking_as(nats, "payment") as payment:
        forged = reply(rex, step)
        if before:
            forged.before.append(reply(rex, before))
        await payment.publish(subject, forged.SerializeToString(), headers={"Nats-Msg-Id": "forged"})
        await eventually(lambda: is_parked(desk))
    assert await keeper.step(rex) == at
    assert await status_of(desk, rex) == "running"
    assert "OutOfPlace" in (await desk.rows(PARKED))[0][2]
    await goes_through(keeper, desk, consumer, nats, bo)


async def goes_through(keeper: Keeper, desk: Desk, consumer: Consumer, nats: testing.Broker, saga_id: Any) -> None:
    """An honest reply is believed still."""
    if await keeper.step(saga_id) == "approve":
        await keeper.approve(saga_id)
    async with running(consumer.run()), speaking_as(nats, "payment") as payment:
        await payment.publish(REPLIES, reply(saga_id, "pay").SerializeToString(), headers={"Nats-Msg-Id": "honest"})

        async def is_through() -> bool:
            return await status_of(desk, saga_id) == "completed"

        await eventually(is_through)


def reply(saga_id: Any, step: str) -> saga_pb2.Reply:
    return saga_pb2.Reply(
        command_id=f"{saga_id}:{step}:forward",
        saga_id=str(saga_id),
        saga_type="kennel",
        step=step,
        direction=saga_pb2.DIRECTION_FORWARD,
        attempt=1,
        outcome=saga_pb2.OUTCOME_SUCCEEDED,
    )


async def status_of(desk: Desk, saga_id: Any) -> str:
    async with desk.database.transaction() as tx:
        found = await tx.execute(text("SELECT status FROM sagas WHERE id = :id"), {"id": saga_id})
        return str(found.scalar_one())
