"""The broker is away for long: a small round of `make outage`, and the edges of what is refused meanwhile."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from devstack.testing import StartStack
from libs.common.tests.messaging.outage import play
from petpro_common import context, telemetry
from petpro_common.context import CallContext
from petpro_common.db import Database
from petpro_common.errors import OutboxFull
from petpro_common.ids import new_id
from petpro_common.messaging.backlog import Backlog
from petpro_common.messaging.outbox import add_event
from petpro_common.testing.running import MakeDatabase

WAITING = text("SELECT count(*) FROM outbox WHERE published_at IS NULL")
PUBLISHED = text("UPDATE outbox SET published_at = CURRENT_TIMESTAMP, stream = 'PETPRO_EVENTS', stream_seq = id")
TO_BE_PUBLISHED_AGAIN = text("UPDATE outbox SET stream = 'PETPRO_EVENTS'")
NEW_WORK = CallContext("CreateReservation", "1", begins_work=True)


async def test_a_long_outage_loses_nothing_and_refuses_new_work_cleanly(
    database_of: MakeDatabase, start_own_stack: StartStack, tmp_path: Path
) -> None:
    stack = start_own_stack(["nats"])
    report = await play(1_000, await database_of("catalog"), await database_of("booking"), stack, tmp_path)
    assert report.wrong == []
    assert report.refused.startswith("20 of 20, RESOURCE_EXHAUSTED")


async def write(database: Database) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", new_id(), {})


async def test_only_what_begins_work_with_a_message_is_refused_and_only_while_the_outbox_is_full(
    database_of: MakeDatabase,
) -> None:
    database = await database_of("catalog")
    backlog = Backlog(database, limit=2)
    for _ in range(2):
        await write(database)
    await backlog.look()
    with context.within(NEW_WORK):
        with pytest.raises(OutboxFull):
            await write(database)
        async with database.transaction() as tx:
            assert (await tx.execute(WAITING)).scalar() == 2, "what writes no message is served"
            await tx.execute(PUBLISHED)
        await backlog.look()
        await write(database)


async def test_what_is_published_again_does_not_fill_the_outbox(database_of: MakeDatabase) -> None:
    database = await database_of("catalog")
    backlog = Backlog(database, limit=1)
    await write(database)
    async with database.transaction() as tx:
        await tx.execute(TO_BE_PUBLISHED_AGAIN)
    await backlog.look()
    assert not backlog.is_full


async def test_the_gauges_tell_how_much_waits_and_for_how_long(database_of: MakeDatabase) -> None:
    database = await database_of("catalog")
    await write(database)
    await write(database)
    await asyncio.sleep(0.05)
    await Backlog(database, limit=10).look()
    assert telemetry.OUTBOX_UNPUBLISHED._value.get() == 2
    assert 0.05 <= telemetry.OUTBOX_OLDEST_SECONDS._value.get() < 60
