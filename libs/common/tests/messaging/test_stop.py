"""A consumer whose process stops: what is in hand is handled, and what was only fetched goes to others at once."""

import asyncio
from collections.abc import Sequence

import nats as nats_client
from nats.aio.msg import Msg

from devstack import testing
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.pull import ACK_WAIT_SECONDS
from petpro_common.messaging.subjects import EVENTS
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

SUBJECT = "petpro.events.clinic.changed"
FETCHED = 100


class Replica:
    """Handles messages of one key, so one after the other, as soon as it may."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.in_hand = asyncio.Event()
        self.handled: list[bytes] = []
        self.delivered: list[int] = []

    async def handle(self, messages: Sequence[Msg]) -> None:
        self.in_hand.set()
        await self.may_go_on.wait()
        self.handled += [message.data for message in messages]
        self.delivered += [message.metadata.num_delivered for message in messages]


async def publish(nats: testing.Broker, count: int) -> list[bytes]:
    said = [str(number).encode() for number in range(count)]
    connection = await nats_client.connect(nats.operator_url)
    for data in said:
        await connection.jetstream().publish(SUBJECT, data)
    await connection.close()
    return said


async def pending(broker: Broker) -> int:
    info = await broker.jetstream.consumer_info(EVENTS, broker.service)
    return info.num_pending or 0


async def test_what_it_has_in_hand_it_handles_and_what_it_has_fetched_comes_to_others_at_once(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    database, hers, his = await database_of("booking"), await broker_of("booking"), await broker_of("booking")
    stopping, staying = Replica(), Replica()
    staying.may_go_on.set()
    consumer = Consumer(database, hers, EVENTS, [SUBJECT], stopping.handle, lambda message: message.subject)
    other = Consumer(database, his, EVENTS, [SUBJECT], staying.handle, lambda message: message.subject)
    work = asyncio.create_task(consumer.run())
    said = await publish(nats, FETCHED)
    await stopping.in_hand.wait()

    async def all_are_fetched() -> bool:
        return await pending(hers) == 0

    await eventually(all_are_fetched)
    consumer.drain()
    await asyncio.sleep(0.3)
    assert not work.done(), "a message is in hand"
    stopping.may_go_on.set()
    await work
    assert stopping.handled == said[:1]
    async with running(other.run()):
        await eventually(lambda: len(staying.handled) == FETCHED - 1, seconds=ACK_WAIT_SECONDS / 2)
    assert sorted(stopping.handled + staying.handled) == sorted(said)
    assert set(staying.delivered) == {2}


async def test_told_to_stop_without_a_broker_it_ends(database_of: MakeDatabase) -> None:
    away = Broker("booking", "nats://127.0.0.1:1", "")
    consumer = Consumer(await database_of("booking"), away, EVENTS, [SUBJECT], Replica().handle, lambda m: m.subject)
    work = asyncio.create_task(consumer.run())
    await asyncio.sleep(0.1)
    consumer.drain()
    async with asyncio.timeout(5):
        await work
