"""What a process commits is published at once, and never before what waits of the same aggregate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.tests.messaging.faltering import Faltering, Mistaken
from libs.common.tests.processes import another
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import outbox, relay
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

CLINIC = new_id()
_LISTEN = text("LISTEN outbox")
_HEARING = text("""
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN outbox' AND state = 'idle'
""")
_END_LISTENERS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN outbox'
""")


@pytest.fixture(autouse=True)
def hardly_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for as long as it takes until it looks by itself."""
    monkeypatch.setattr(relay, "_POLL_SECONDS", 300.0)


class Listener:
    def __init__(self) -> None:
        self.heard: list[int] = []

    async def on_clinic(self, tx: Transaction, event: Event) -> None:
        self.heard.append(event["version"])

    def consumer(self, database: Database, broker: Broker) -> Any:
        return event_consumer(database, broker, {"clinic.changed": self.on_clinic}).run()


async def say(database: Database, version: int) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", CLINIC, {"version": version})


@asynccontextmanager
async def replica_of(database: Database, broker: Broker) -> AsyncIterator[Database]:
    """Another process of the service, which does not publish."""
    other = another(database)
    following = Relay(other, broker)
    async with running(following.run(), following.hear()):
        yield other
    await other.close()


async def until_leading(leading: Relay) -> None:
    await eventually(lambda: leading._is_leading)


async def until_hearing(database: Database, processes: int) -> None:
    async def hear() -> bool:
        async with database.reading() as reading:
            return len((await reading.execute(_HEARING)).all()) == processes

    await eventually(hear)


async def test_nobody_waits_for_a_look(database_of: MakeDatabase, broker_of: MakeBroker) -> None:
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    leading = Relay(catalog, await broker_of("catalog"))
    async with running(leading.run(), leading.hear(), listener.consumer(booking, await broker_of("booking"))):
        await until_leading(leading)
        async with replica_of(catalog, await broker_of("catalog")) as replica:
            await until_hearing(catalog, processes=2)
            for version, database in enumerate((catalog, replica, catalog, replica)):
                await say(database, version)
                await eventually(lambda: version in listener.heard)  # noqa: B023  # it is awaited here


async def test_who_could_not_hear_looks_once_it_listens_again(database_of: MakeDatabase, broker_of: MakeBroker) -> None:
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    leading, other = Relay(catalog, await broker_of("catalog")), another(catalog)
    async with running(leading.run(), leading.hear(), listener.consumer(booking, await broker_of("booking"))):
        await until_leading(leading)
        await until_hearing(catalog, processes=1)
        await say(catalog, 1)
        await eventually(lambda: listener.heard == [1])
        await say(other, 2)  # which nobody tells of
        async with other.reading() as reading:
            await reading.execute(_END_LISTENERS)
        await eventually(lambda: listener.heard == [1, 2])
    await other.close()


async def test_who_follows_tells_of_a_commit_once_though_it_hears_itself(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, told = await database_of("catalog"), 0
    leading = Relay(catalog, await broker_of("catalog"))
    async with running(leading.run(), leading.hear()):
        await until_leading(leading)
        async with replica_of(catalog, await broker_of("catalog")) as replica, catalog.session() as listener:
            await until_hearing(catalog, processes=2)

            async def count() -> None:
                nonlocal told
                await listener.execute(_LISTEN)
                async for _ in listener.notifications():
                    told += 1

            async with running(count()):
                await until_hearing(catalog, processes=3)
                await say(replica, 1)
                await eventually(lambda: told > 0)
                await asyncio.sleep(1)
    assert told == 1


async def test_two_processes_that_change_one_aggregate_are_heard_in_order(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    leading = Relay(catalog, await broker_of("catalog"))
    async with running(leading.run(), leading.hear(), listener.consumer(booking, await broker_of("booking"))):
        await until_leading(leading)
        async with replica_of(catalog, await broker_of("catalog")) as replica:
            for version in range(120):
                await say(replica if version % 3 == 1 else catalog, version)
            await eventually(lambda: len(listener.heard) >= 120)
    assert listener.heard == list(range(120))


async def test_behind_more_than_can_be_told_nothing_is_handed_over(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process has written, and nobody has told of, goes first."""
    monkeypatch.setattr(outbox, "_MOST_BEFORE", 4)
    for seconds in ("_IDLE_SECONDS", "_LONGEST_UNMARKED_SECONDS"):  # what was published counts as waiting until then
        monkeypatch.setattr(relay, seconds, 300.0)
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    leading, other = Relay(catalog, await broker_of("catalog")), another(catalog)
    async with running(leading.run(), listener.consumer(booking, await broker_of("booking"))):
        await until_leading(leading)
        for version in range(5):
            await say(catalog, version)
        await eventually(lambda: len(listener.heard) >= 5)
        await say(other, 5)
        await say(catalog, 6)
        await eventually(lambda: len(listener.heard) >= 7)
    await other.close()
    assert listener.heard == list(range(7))


async def test_a_message_is_told_what_waits_before_it_or_that_it_is_too_much(
    database_of: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of it would look like all of it."""
    monkeypatch.setattr(outbox, "_MOST_BEFORE", 4)
    catalog, told = await database_of("catalog"), []
    for version in range(6):
        async with catalog.transaction() as tx:
            add_event(tx, "catalog", "clinic.changed", CLINIC, {"version": version})
        told.append(tx.messages[0].before)
    assert [before if before is None else len(before) for before in told] == [0, 1, 2, 3, 4, None]


async def test_what_could_not_be_published_goes_before_what_comes_later(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    leading = Relay(catalog, Faltering(await broker_of("catalog")))  # type: ignore[arg-type]
    async with running(leading.run(), listener.consumer(booking, await broker_of("booking"))):
        await until_leading(leading)
        for version in range(50):
            await say(catalog, version)
        await eventually(lambda: len(listener.heard) >= 50)
    assert listener.heard == list(range(50))


async def test_what_the_broker_says_it_has_and_has_not_is_published_again(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    leading = Relay(catalog, Mistaken(await broker_of("catalog")))  # type: ignore[arg-type]
    async with running(leading.run(), listener.consumer(booking, await broker_of("booking"))):
        await until_leading(leading)
        for version in range(3):
            await say(catalog, version)
        await eventually(lambda: len(listener.heard) >= 3)
    assert listener.heard == list(range(3))


async def test_of_more_than_one_batch_the_rest_follows_at_once(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_BATCH", 4)
    catalog, booking, listener = await database_of("catalog"), await database_of("booking"), Listener()
    for version in range(10):
        await say(catalog, version)
    leading = Relay(catalog, await broker_of("catalog"))
    async with running(leading.run(), listener.consumer(booking, await broker_of("booking"))):
        await eventually(lambda: len(listener.heard) >= 10)
    assert listener.heard == list(range(10))


async def say_and_take_back(tx: Transaction) -> None:
    async with tx.savepoint():
        add_event(tx, "catalog", "clinic.changed", CLINIC, {"version": 2})
        await tx.flush()
        raise ValueError("after all not")


async def test_what_is_taken_back_is_not_handed_over(database_of: MakeDatabase) -> None:
    catalog = await database_of("catalog")
    async with catalog.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", CLINIC, {"version": 1})
        with pytest.raises(ValueError, match="after all not"):
            await say_and_take_back(tx)
    assert len(tx.messages) == 1
    async with catalog.reading() as reading:
        assert (await reading.execute(text("SELECT id FROM outbox"))).scalars() == [tx.messages[0].id]


async def test_who_is_told_to_stop_publishes_what_was_committed_and_leaves_nothing_to_be_published_again(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog = await database_of("catalog")
    publishing = Relay(catalog, await broker_of("catalog"))
    work = asyncio.create_task(publishing.run())
    await until_leading(publishing)
    for version in range(50):
        await say(catalog, version)
    publishing.drain()
    async with asyncio.timeout(30):
        await work
    async with catalog.transaction() as tx:
        waits = (await tx.execute(text("SELECT count(*) FROM outbox WHERE published_at IS NULL"))).scalar_one()
    assert waits == 0


async def test_who_follows_is_told_to_stop_and_has_whoever_leads_look(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog = await database_of("catalog")
    other = another(catalog)
    leading, following = Relay(catalog, await broker_of("catalog")), Relay(other, await broker_of("catalog"))

    async def all_has_left() -> bool:
        async with catalog.transaction() as tx:
            return not (await tx.execute(text("SELECT FROM outbox WHERE published_at IS NULL"))).all()

    async with running(leading.run(), leading.hear()):
        await until_leading(leading)
        await until_hearing(catalog, processes=1)
        work = asyncio.create_task(following.run())
        await asyncio.sleep(0.5)  # by then it follows
        await say(other, 1)
        following.drain()
        async with asyncio.timeout(30):
            await work
        await eventually(all_has_left)
    await other.close()
