"""What has grown too old leaves a stream, after as long as the stream itself says; nothing else does unnoticed."""

from datetime import timedelta

import nats as nats_client
import pytest
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database
from petpro_common.housekeeping import PURGES
from petpro_common.ids import new_id
from petpro_common.messaging.broker import MAX_AGE_SECONDS
from petpro_common.messaging.data_loss import republish_forgotten
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

SAID = 4
EVENTS = "PETPRO_EVENTS"
_DAYS_PASS = text("UPDATE outbox SET published_at = published_at - CAST(:days AS interval)")
_PUBLISHED = text("SELECT count(*) FROM outbox WHERE published_at IS NOT NULL")


@pytest.mark.unit
def test_a_stream_keeps_messages_for_as_long_as_their_senders_do() -> None:
    [outbox] = [purge for purge in PURGES if purge.table == "outbox"]
    assert timedelta(seconds=MAX_AGE_SECONDS) == outbox.keep


@pytest.mark.parametrize(
    ("kept", "is_forgotten"), [(3, False), (7, True)], ids=["by an earlier release", "by this one"]
)
async def test_what_goes_at_the_beginning_is_held_against_the_age_that_the_stream_has(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker, kept: int, is_forgotten: bool
) -> None:
    catalog, broker = await database_of("catalog"), await broker_of("catalog")
    connection = await nats_client.connect(nats.operator_url)
    streams = connection.jetstream()
    made = (await streams.stream_info(EVENTS)).config
    await streams.update_stream(made.evolve(max_age=timedelta(days=kept).total_seconds()))
    async with running(Relay(catalog, broker).run()):
        for _ in range(SAID):
            await say(catalog)
        await eventually(lambda: published(catalog, SAID))
    async with catalog.session() as session:
        await republish_forgotten(session, broker)
        await session.execute(_DAYS_PASS, {"days": timedelta(days=4)})
        for number in range(1, SAID):
            await streams.delete_msg(EVENTS, number)
        await republish_forgotten(session, broker)
    await connection.close()
    assert await published(catalog, 0 if is_forgotten else SAID)


async def say(database: Database) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", new_id(), {"version": 1})


async def published(database: Database, messages: int) -> bool:
    async with database.reading() as tx:
        return bool((await tx.execute(_PUBLISHED)).scalar_one() == messages)
