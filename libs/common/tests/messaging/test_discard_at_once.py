"""A discard beside whoever else has the message at that moment: operators, a redrive, the consumer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from libs.common.tests.messaging.desk import (
    HANDLED,
    NOTHING_LEFT,
    SUBJECT,
    Desk,
    discard,
    opened,
    park,
    redrive,
    refusal,
)
from libs.common.tests.messaging.paying import PAY, Paying, unreadable
from petpro_common.messaging import discards, parked
from petpro_common.testing import KeyRing
from petpro_common.testing.running import MakeDatabase, eventually

WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def desk(database_of: MakeDatabase, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(await database_of("booking"), KeyRing(tmp_path)) as made:
        yield made


async def waits(desk: Desk) -> bool:
    return bool(await desk.rows(WAITS))


async def test_a_message_that_is_redriven_at_that_moment_is_not_discarded_under_it(desk: Desk) -> None:
    stub, other = await desk.served(desk.consumer()), await desk.served(desk.consumer())
    number = await desk.park(1)
    desk.may_go_on.clear()
    redriving = asyncio.ensure_future(redrive(desk, stub, id=number))
    await desk.at_work.wait()
    assert await refusal(discard(desk, other, id=number)) == "PARKED_MESSAGE_IN_HAND"
    assert await discard(desk, other, subject=SUBJECT) == []
    assert await refusal(redrive(desk, other, id=number)) == "PARKED_MESSAGE_IN_HAND"
    desk.may_go_on.set()
    assert await redriving == [(number, HANDLED)]
    assert await refusal(discard(desk, other, id=number)) == "PARKED_MESSAGE_NOT_FOUND"
    assert await desk.rows("SELECT outcome FROM message_redrives") == [("handled",)]


async def test_of_two_who_act_at_once_one_wins_and_the_other_is_told(desk: Desk) -> None:
    stub, number = await desk.served(desk.consumer()), await desk.park(1)
    async with desk.database.transaction() as tx:
        held = await parked.hold(tx, [number])
        await discards.discard(tx, held, "dewi", "I was first")
        await tx.execute(text("SELECT 1"))  # what was written is there, uncommitted
        assert await refusal(discard(desk, stub, id=number)) == "PARKED_MESSAGE_IN_HAND"
        assert await refusal(redrive(desk, stub, id=number)) == "PARKED_MESSAGE_IN_HAND"
        assert await redrive(desk, stub) == []
    assert await refusal(discard(desk, stub, id=number)) == "PARKED_MESSAGE_NOT_FOUND"
    assert await desk.rows("SELECT operator FROM message_redrives") == [("dewi",)]
    assert await desk.rows(NOTHING_LEFT) == []


async def test_two_operators_discard_the_same_messages_each_once(desk: Desk) -> None:
    replicas = [await desk.served() for _ in range(4)]
    numbers = {await desk.park(version) for version in range(40)}
    done = await asyncio.gather(*(discard(desk, each, subject="petpro.events.", limit=100) for each in replicas))
    discarded = [number for results in done for number, _ in results]
    assert sorted(discarded) == sorted(numbers)
    assert await desk.rows("SELECT count(*), count(DISTINCT message_id) FROM message_redrives") == [(40, 40)]


async def test_a_consumer_that_parks_it_again_at_that_moment_waits_and_lets_it_be(desk: Desk) -> None:
    number = await desk.park(1)

    async def park_again() -> bool:
        async with desk.database.transaction() as tx:
            return await parked.park(tx, unreadable("clinic 1"), has_own_id=True, arrived_at=datetime.now(UTC))

    async with desk.database.transaction() as tx:
        await discards.discard(tx, await parked.hold(tx, [number]), "dewi", "nobody can read it")
        await tx.execute(text("SELECT 1"))
        parking = asyncio.ensure_future(park_again())
        await eventually(lambda: waits(desk))
    assert await parking is False
    assert await desk.rows(NOTHING_LEFT) == []


async def test_a_copy_that_is_handled_at_that_moment_is_waited_for(desk: Desk) -> None:
    listening = desk.consumer()
    stub, number = await desk.served(listening), await desk.park(1)
    ((headers, payload),) = await desk.rows("SELECT headers, payload FROM parked_messages")
    desk.may_go_on.clear()
    delivered = asyncio.ensure_future(listening.redrive(SUBJECT, headers, bytes(payload)))
    await desk.at_work.wait()
    discarding = asyncio.ensure_future(discard(desk, stub, id=number))
    await eventually(lambda: waits(desk))
    desk.may_go_on.set()
    await delivered
    assert await discarding == [(number, HANDLED)]
    assert await desk.rows("SELECT version FROM heard") == [(1,)]


async def test_a_copy_of_a_command_that_is_carried_out_at_that_moment_is_waited_for(desk: Desk) -> None:
    stub, paying = await desk.served(), Paying(desk)
    number = await park(desk.database, PAY, "miko:pay:forward:1", paying.command(attempt=1))
    desk.may_go_on.clear()
    delivered = asyncio.ensure_future(paying.arrives("miko:pay:forward:1", attempt=1))
    await desk.at_work.wait()
    discarding = asyncio.ensure_future(discard(desk, stub, id=number))
    await eventually(lambda: waits(desk))
    desk.may_go_on.set()
    await delivered
    assert await discarding == [(number, HANDLED)]
    assert paying.paid == ["miko:pay:forward"]
