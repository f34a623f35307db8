"""A broker that comes back without what it knew of its consumers, though with all messages: each is heard, once."""

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from devstack import testing
from devstack.running import RunningStack
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

CLINIC = new_id()
_TAKEN = text("SELECT count(*) FROM inbox")
HARMS = 5
ENOUGH = 130
"""Messages before the one in hand: their numbers take two bytes each then, and all four half of the file."""
BYTES_WITH_ONE_IN_HAND = 20


class Listener:
    """Hears of a clinic; `holds_back` keeps a version in hand."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.holds_back: int | None = None

    async def on_clinic(self, tx: Transaction, event: Event) -> None:
        while event["version"] == self.holds_back:
            await asyncio.sleep(0.02)
        self.heard.append(event["version"])


@pytest.fixture
def stack(start_own_stack: testing.StartStack) -> RunningStack:
    return start_own_stack(["nats"])


@pytest.fixture
def nats(stack: RunningStack) -> testing.Broker:
    return testing.broker(stack)


async def say(database: Database, version: int) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", CLINIC, {"clinic_id": CLINIC, "version": version})


def states(stack: RunningStack) -> list[Path]:
    """What the server keeps of each consumer."""
    return list((stack.run / "nats" / "data").rglob("o.dat"))


async def lose_states(stack: RunningStack) -> None:
    """The server dies, and comes back with half of what it has of each consumer."""
    await stack.kill("nats")
    for state in states(stack):
        state.write_bytes(state.read_bytes()[: max(1, state.stat().st_size // 2)])
    await stack.start_part("nats")


async def delete_folders(stack: RunningStack) -> None:
    """What an operator does about it."""
    await stack.kill("nats")
    for state in states(stack):
        shutil.rmtree(state.parent)
    await stack.start_part("nats")


async def has_taken(database: Database, messages: int) -> bool:
    """What was only heard would be heard again, were the broker to go away before the commit."""
    async with database.transaction() as tx:
        return bool((await tx.execute(_TAKEN)).scalar_one() == messages)


async def is_in_memory(broker: Broker) -> bool:
    return bool((await broker.jetstream.consumer_info("PETPRO_EVENTS", "booking")).config.mem_storage)


async def test_however_often_a_store_loses_its_consumers_every_message_is_heard_once(
    database_of: MakeDatabase, broker_of: MakeBroker, stack: RunningStack
) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener, ears = Listener(), await broker_of("booking")
    hearing = event_consumer(booking, ears, {"clinic.changed": listener.on_clinic})
    async with running(Relay(catalog, await broker_of("catalog")).run(), hearing.run()):
        for harm in range(HARMS):
            await say(catalog, harm)
            await eventually(lambda: has_taken(booking, harm + 1))  # noqa: B023
            await lose_states(stack)
        await say(catalog, HARMS)
        await eventually(lambda: has_taken(booking, HARMS + 1))
        assert await is_in_memory(ears)
        await delete_folders(stack)
        await say(catalog, HARMS + 1)
        await eventually(lambda: len(listener.heard) == HARMS + 2)
        assert not await is_in_memory(ears), "as operations.md says"
    assert listener.heard == list(range(HARMS + 2))


async def test_what_was_in_hand_comes_again_where_the_server_has_forgotten_that_it_was(
    database_of: MakeDatabase, broker_of: MakeBroker, stack: RunningStack
) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener()
    listener.holds_back = ENOUGH
    hearing = event_consumer(booking, await broker_of("booking"), {"clinic.changed": listener.on_clinic})
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        async with running(hearing.run()):
            for version in range(ENOUGH + 1):
                await say(catalog, version)
            await eventually(lambda: len(listener.heard) == ENOUGH)
            await eventually(lambda: [state.stat().st_size for state in states(stack)] == [BYTES_WITH_ONE_IN_HAND])
        await lose_states(stack)
        listener.holds_back = None
        async with running(hearing.run()):
            await say(catalog, ENOUGH + 1)
            await eventually(lambda: len(listener.heard) == ENOUGH + 2)
    assert listener.heard == list(range(ENOUGH + 2))
