"""From one service's commit to another's effects: once, in order, whatever is lost on the way."""

import asyncio
from typing import Any
from uuid import UUID

import nats as nats_client
import pytest
from psycopg import DatabaseError
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database, Session, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import broker, data_loss, relay
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

CLINIC = UUID("0197a0c0-0000-7000-8000-000000000001")
PUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay looks twice a second whether the broker has forgotten something; the broker forgets ids as soon."""
    monkeypatch.setattr(relay, "_MEMORY_CHECK_SECONDS", 0.5)
    monkeypatch.setattr(broker, "DUPLICATE_WINDOW_SECONDS", 2)


class Listener:
    """A service that counts what it hears about clinics."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.fail_times = 0

    async def on_clinic(self, tx: Transaction, event: Event) -> None:
        await tx.execute(text("SELECT 1"))
        if self.fail_times:
            self.fail_times -= 1
            raise RuntimeError("the kennel is full")
        self.heard.append(event["version"])

    def consumer(self, database: Database, broker: Broker) -> Any:
        return event_consumer(database, broker, {"clinic.changed": self.on_clinic}).run()


async def say(database: Database, version: int, clinic: UUID = CLINIC) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", clinic, {"clinic_id": clinic, "version": version})


async def say_and_fail(database: Database, version: int) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", CLINIC, {"clinic_id": CLINIC, "version": version})
        await tx.execute(text("SELECT 1 / 0"))


async def test_events_of_one_aggregate_arrive_once_and_in_order(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener()
    publishing = Relay(catalog, await broker_of("catalog"))
    async with running(publishing.run(), listener.consumer(booking, await broker_of("booking"))):
        for version in range(200):
            await say(catalog, version)
        await eventually(lambda: len(listener.heard) >= 200)
        await asyncio.sleep(0.3)
    assert listener.heard == list(range(200))


async def test_what_rolls_back_is_never_said(database_of: MakeDatabase, broker_of: MakeBroker) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener()
    publishing = Relay(catalog, await broker_of("catalog"))
    async with running(publishing.run(), listener.consumer(booking, await broker_of("booking"))):
        with pytest.raises(DatabaseError):
            await say_and_fail(catalog, 1)
        await say(catalog, 2)
        await eventually(lambda: bool(listener.heard))
    assert listener.heard == [2]


async def test_a_handler_that_fails_is_tried_again(database_of: MakeDatabase, broker_of: MakeBroker) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener()
    listener.fail_times = 3
    publishing = Relay(catalog, await broker_of("catalog"))
    async with running(publishing.run(), listener.consumer(booking, await broker_of("booking"))):
        await say(catalog, 1)
        await eventually(lambda: listener.heard == [1])


async def test_a_message_that_nobody_can_read_is_parked_and_blocks_nothing(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener()
    async with running(listener.consumer(booking, await broker_of("booking"))):
        connection = await nats_client.connect(nats.operator_url)
        headers = {"ce-id": "poison", "ce-type": "clinic.changed", "Nats-Msg-Id": "poison"}
        await connection.jetstream().publish("petpro.events.clinic.changed", b"{not json", headers=headers)
        await connection.close()
        async with running(Relay(catalog, await broker_of("catalog")).run()):
            await say(catalog, 7)
            await eventually(lambda: listener.heard == [7])
        await eventually(lambda: says(booking, "SELECT count(*) FROM parked_messages", 1))
    assert "not JSON" in (await column(booking, "SELECT error FROM parked_messages"))[0]


async def test_a_broker_that_lost_its_store_is_filled_again_from_the_outbox(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    early, late = Listener(), Listener()
    publishing = Relay(catalog, await broker_of("catalog"))
    hearing = await broker_of("booking")
    async with running(publishing.run()):
        async with running(early.consumer(booking, hearing)):
            for version in range(20):
                await say(catalog, version)
            await eventually(lambda: says(booking, "SELECT count(*) FROM inbox", 20))  # and not only heard
        await forget_everything(nats)
        notifying = await database_of("notification")
        async with running(late.consumer(notifying, await broker_of("notification"))):
            await eventually(lambda: len(late.heard) == 20)
        async with running(early.consumer(booking, hearing)):
            await say(catalog, 20)
            await eventually(lambda: 20 in early.heard)
    assert late.heard == list(range(20)), "who had not heard, hears it all"
    assert early.heard == list(range(21)), "who had heard, hears nothing twice"


async def test_a_broker_restored_from_an_old_copy_is_noticed(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    catalog, notification = await database_of("catalog"), await database_of("notification")
    publishing = Relay(catalog, await broker_of("catalog"))
    async with running(publishing.run()):
        for version in range(10):
            await say(catalog, version, new_id())
        await eventually(lambda: says(catalog, PUBLISHED, 10))
        await cut_to(nats, 4)
        listener = Listener()
        async with running(listener.consumer(notification, await broker_of("notification"))):
            await eventually(lambda: sorted(set(listener.heard)) == list(range(10)))
    assert len(listener.heard) == 10


async def test_a_broker_that_lost_its_store_and_got_further_than_before_is_noticed(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    catalog, notification = await database_of("catalog"), await database_of("notification")
    listener = Listener()
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        for version in range(3):
            await say(catalog, version)
        await eventually(lambda: says(catalog, PUBLISHED, 3))
        await forget_and_let_others_speak(nats, times=10)
        await say(catalog, 3)
        async with running(listener.consumer(notification, await broker_of("notification"))):
            await eventually(lambda: sorted(listener.heard) == list(range(4)))


@pytest.mark.parametrize("lost", [range(4, 7), range(1, 4)], ids=["in the middle", "at the beginning"])
async def test_a_broker_that_lost_a_part_of_a_stream_is_noticed(
    database_of: MakeDatabase,
    broker_of: MakeBroker,
    nats: testing.Broker,
    monkeypatch: pytest.MonkeyPatch,
    lost: range,
) -> None:
    look, looks = data_loss.republish_forgotten, 0

    async def counted(session: Session, at: Broker) -> None:
        nonlocal looks
        await look(session, at)
        looks += 1

    monkeypatch.setattr(data_loss, "republish_forgotten", counted)
    catalog, notification = await database_of("catalog"), await database_of("notification")
    listener = Listener()
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        for version in range(9):
            await say(catalog, version, new_id())
        await eventually(lambda: says(catalog, PUBLISHED, 9))
        await lose(nats, lost)
        async with running(listener.consumer(notification, await broker_of("notification"))):
            await eventually(lambda: len(listener.heard) >= 9)
            before = looks
            await eventually(lambda: looks >= before + 3)  # before each, what was published is marked
        published_again = await column(catalog, "SELECT max(stream_seq) FROM outbox")
    assert sorted(listener.heard) == list(range(9))
    assert published_again == [9 + len(lost)], "once, not at each look"


async def column(database: Database, query: str) -> list[Any]:
    async with database.transaction() as tx:
        return list((await tx.execute(text(query))).scalars())


async def says(database: Database, query: str, number: int) -> bool:
    return await column(database, query) == [number]


async def lose(nats: testing.Broker, numbers: range) -> None:
    connection = await nats_client.connect(nats.operator_url)
    for number in numbers:
        await connection.jetstream().delete_msg("PETPRO_EVENTS", number)
    await connection.close()


async def forget_everything(nats: testing.Broker) -> None:
    connection = await nats_client.connect(nats.operator_url)
    await connection.jetstream().delete_stream("PETPRO_EVENTS")
    await connection.close()


async def forget_and_let_others_speak(nats: testing.Broker, times: int) -> None:
    """A new stream in which others are already further than the old one had been."""
    connection = await nats_client.connect(nats.operator_url)
    streams = connection.jetstream()
    config = (await streams.stream_info("PETPRO_EVENTS")).config
    await streams.delete_stream("PETPRO_EVENTS")
    await streams.add_stream(config)
    for number in range(times):
        await streams.publish("petpro.events.user.changed", b"{}", headers={"Nats-Msg-Id": f"other {number}"})
    await connection.close()


async def cut_to(nats: testing.Broker, keep: int) -> None:
    """The stream as an old copy would have it: the first `keep` messages, and the sequence behind."""
    connection = await nats_client.connect(nats.operator_url)
    streams = connection.jetstream()
    config = (await streams.stream_info("PETPRO_EVENTS")).config
    kept = [await streams.get_msg("PETPRO_EVENTS", seq) for seq in range(1, keep + 1)]
    await streams.delete_stream("PETPRO_EVENTS")
    await streams.add_stream(config)
    for message in kept:
        await streams.publish(str(message.subject), message.data or b"", headers=dict(message.headers or {}))
    await connection.close()
