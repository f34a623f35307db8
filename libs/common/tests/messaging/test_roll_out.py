"""A release that hears of something new is rolled out beside the old one, and nothing is lost."""

import pytest
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, UnknownKind, Unprocessable
from petpro_common.messaging.durable import ensure_durable
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event, add_protobuf
from petpro_common.messaging.participant import Answer, Succeeded, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.messaging.subjects import EVENTS, command_subject, event_subject
from petpro_common.saga.messages import read
from petpro_common.testing import logged
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

PARKED = text("SELECT error FROM parked_messages")


class Replica:
    """Hears events of the types that its release knows."""

    def __init__(self, database: Database, broker: Broker, *event_types: str) -> None:
        self.heard: list[str] = []
        self.consumer: Consumer = event_consumer(database, broker, dict.fromkeys(event_types, self._hear))

    async def _hear(self, _: Transaction, event: Event) -> None:
        self.heard.append(event["event_type"])


async def say(database: Database, event_type: str) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", event_type, new_id(), {})


async def subjects_of(broker: Broker) -> list[str]:
    return (await broker.jetstream.consumer_info(EVENTS, "booking")).config.filter_subjects or []


@pytest.mark.parametrize("reconnects", [False, True])
async def test_what_only_a_newer_replica_hears_is_left_to_it(
    reconnects: bool, database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, booking, broker = await database_of("catalog"), await database_of("booking"), await broker_of("booking")
    old = Replica(booking, broker, "clinic.changed")
    new = Replica(booking, await broker_of("booking"), "clinic.changed", "clinic.closed")

    async def hears_of_both() -> bool:
        return len(await subjects_of(broker)) == 2

    relay = Relay(catalog, await broker_of("catalog"))
    async with running(relay.run(), old.consumer.run()):
        await eventually(lambda: old.consumer._is_there)
        async with running(new.consumer.run()):
            await eventually(hears_of_both)
        if reconnects:
            broker.client._transport.close()  # type: ignore[union-attr]
            await eventually(lambda: broker.reconnects == 1)
        await say(catalog, "clinic.closed")
        await say(catalog, "clinic.changed")
        await eventually(lambda: old.heard == ["clinic.changed"])
        async with running(new.consumer.run()):
            await eventually(lambda: new.heard == ["clinic.closed"])
    async with booking.reading() as reading:
        assert (await reading.execute(PARKED)).scalars() == []


async def send(booking: Database, dog: str, asked: Message) -> None:
    command = saga_pb2.Command(command_id=dog, saga_id=str(new_id()), reply_to="petpro.replies.walk")
    command.payload.Pack(asked)
    async with booking.transaction() as tx:
        add_protobuf(tx, f"{dog}:1", command_subject("payment", asked), dog, command)


async def test_a_command_that_only_a_newer_replica_knows_is_left_to_it(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    booking, payment = await database_of("booking"), await database_of("payment")
    done: list[str] = []

    async def do(_: Transaction, command_id: str, __: Message) -> Answer:
        done.append(command_id)
        return Succeeded()

    broker = await broker_of("payment")
    old, new = (
        command_consumer(payment, broker, dict.fromkeys(known, do))
        for known in ([commands_pb2.TakePayment], [commands_pb2.TakePayment, commands_pb2.CancelPayment])
    )
    async with running(Relay(booking, await broker_of("booking")).run()):
        with logged() as lines:
            async with running(old.run()):
                await send(booking, "rex", commands_pb2.CancelPayment())
                await eventually(lambda: "message failed" in [line["event"] for line in lines])
                await send(booking, "bo", commands_pb2.TakePayment())
                await eventually(lambda: done == ["bo"])
        async with running(new.run()):
            await eventually(lambda: done == ["bo", "rex"])
    async with payment.reading() as reading:
        assert (await reading.execute(PARKED)).scalars() == []


def test_a_reply_that_only_a_newer_replica_understands_is_left_to_it() -> None:
    reply = saga_pb2.Reply(saga_id=str(new_id()), direction=saga_pb2.DIRECTION_FORWARD)
    reply.MergeFromString(b"\x38\x63")  # outcome 99
    with pytest.raises(UnknownKind):
        read(Msg(Client(), "petpro.replies.walk", data=reply.SerializeToString()))
    with pytest.raises(Unprocessable):
        read(Msg(Client(), "petpro.replies.walk", data=b"not one at all"))


async def test_only_a_start_takes_something_away(broker_of: MakeBroker) -> None:
    broker = await broker_of("booking")
    one, two = [event_subject("clinic.changed")], [event_subject("clinic.changed"), event_subject("clinic.closed")]
    for subjects, is_start, then in ((one, False, one), (two, False, two), (one, False, two), (one, True, one)):
        await ensure_durable(broker, EVENTS, subjects, is_start=is_start)
        assert await subjects_of(broker) == then
