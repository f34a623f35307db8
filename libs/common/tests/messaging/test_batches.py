"""What is at hand is handled together: fast when all goes well, and never at the expense of a neighbour."""

import asyncio
from typing import Any, cast

import pytest
from nats.aio.msg import Msg
from sqlalchemy import text

from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import consumer
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.keyed_queue import KeyedQueue
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

MANY = 60
TOO_OLD = 7


class Listener:
    """Hears of clinics, in its database; cannot bear the one that is too old, and is held up by the slow one."""

    def __init__(self) -> None:
        self.transactions: set[int] = set()
        self.slow_version = -1
        self.may_go_on = asyncio.Event()

    async def on_clinic(self, tx: Transaction, event: Event) -> None:
        await tx.execute(text("INSERT INTO heard VALUES (:version)"), {"version": event["version"]})
        self.transactions.add(id(tx))
        if event["version"] == TOO_OLD:
            raise ValueError("too old")
        if event["version"] == self.slow_version:
            await self.may_go_on.wait()

    def consumer(self, database: Database, broker: Broker) -> Any:
        return event_consumer(database, broker, {"clinic.changed": self.on_clinic}).run()


async def say(database: Database, *versions: int) -> None:
    async with database.transaction() as tx:
        for version in versions:
            add_event(tx, "catalog", "clinic.changed", new_id(), {"version": version})


async def all_has_left(database: Database) -> bool:
    async with database.transaction() as tx:
        waiting = text("SELECT FROM outbox WHERE published_at IS NULL")
        return not (await tx.execute(waiting)).all()


async def has_heard(database: Database, *versions: int) -> bool:
    """Those, and nothing else."""
    async with database.transaction() as tx:
        heard = (await tx.execute(text("SELECT version FROM heard ORDER BY version"))).scalars()
        return list(heard) == list(versions)


async def hearing(database_of: MakeDatabase) -> Database:
    booking = await database_of("booking")
    async with booking.transaction() as tx:
        await tx.execute(text("CREATE TABLE heard (version integer)"))
    return booking


async def test_what_waits_is_handled_in_few_transactions(database_of: MakeDatabase, broker_of: MakeBroker) -> None:
    catalog, booking, listener = await database_of("catalog"), await hearing(database_of), Listener()
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        await say(catalog, *range(100, 100 + MANY))
        await eventually(lambda: all_has_left(catalog))
        async with running(listener.consumer(booking, await broker_of("booking"))):
            await eventually(lambda: has_heard(booking, *range(100, 100 + MANY)))
    assert len(listener.transactions) < MANY / 2


async def test_a_message_that_fails_takes_nobody_with_it(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_TRIES", 2)
    catalog, booking, listener = await database_of("catalog"), await hearing(database_of), Listener()
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        await say(catalog, *range(MANY))
        async with running(listener.consumer(booking, await broker_of("booking"))):
            others = [version for version in range(MANY) if version != TOO_OLD]
            await eventually(lambda: has_heard(booking, *others))


async def test_a_slow_message_holds_up_no_other(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_BATCH_SECONDS", 0.2)
    catalog, booking, listener = await database_of("catalog"), await hearing(database_of), Listener()
    listener.slow_version = 1000
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        await say(catalog, 1000, 1001)
        async with running(listener.consumer(booking, await broker_of("booking"))):
            await eventually(lambda: has_heard(booking, 1001))
            listener.may_go_on.set()
            await eventually(lambda: has_heard(booking, 1000, 1001))


@pytest.mark.unit
async def test_messages_of_one_key_wait_for_each_other() -> None:
    queue = KeyedQueue()
    for number, (key, name) in enumerate((("rex", "first"), ("rex", "second"), ("bello", "other"))):
        queue.put(key, delivered(name, number))
    taken = await queue.take(10)
    assert {key: message.subject for key, message in taken.items()} == {"rex": "first", "bello": "other"}
    next_one = asyncio.create_task(queue.take(10))
    await asyncio.sleep(0)
    assert not next_one.done()
    queue.done("bello")
    queue.done("rex")
    assert [message.subject for message in (await next_one).values()] == ["second"]


@pytest.mark.unit
async def test_of_a_message_that_comes_again_while_it_waits_one_copy_is_kept() -> None:
    queue = KeyedQueue()
    for number, name in enumerate(("in hand", "second", "third")):
        queue.put("rex", delivered(name, number))
    await queue.take(10)
    for tries in (2, 3):
        for number, name in enumerate(("in hand", "second", "third")):
            queue.put("rex", delivered(name, number, tries))
    left = []
    for _ in range(3):
        queue.done("rex")
        left += [(message.subject, message.metadata.num_delivered) for message in (await queue.take(10)).values()]
    queue.done("rex")
    assert left == [("second", 3), ("third", 3), ("in hand", 3)]
    assert not queue._waiting


def delivered(subject: str, number: int, tries: int = 1) -> Msg:
    """A message as the broker hands it out, with its number in the stream."""
    return Msg(cast(Any, None), subject, reply=f"$JS.ACK.PETPRO_EVENTS.booking.{tries}.{number}.1.1.0")
