"""Messages that were given up come again: they have no effect, and are not parked."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats as nats_client
import pytest

from devstack import testing
from libs.common.tests.messaging.desk import (
    DISCARDED,
    FAILED,
    HANDLED,
    SUBJECT,
    Desk,
    discard,
    have_everything_delivered_again,
    is_acknowledged,
    is_parked,
    opened,
    park,
    redrive,
)
from libs.common.tests.messaging.paying import PAY, Paying, unreadable
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.messaging import consumer, parked
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing import KeyRing
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running


@pytest.fixture
async def desk(database_of: MakeDatabase, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(await database_of("booking"), KeyRing(tmp_path)) as made:
        yield made


async def test_an_event_that_comes_again_has_no_effect_and_is_not_parked(
    desk: Desk,
    database_of: MakeDatabase,
    broker_of: MakeBroker,
    nats: testing.Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also once the fault is mended: it was given up."""
    monkeypatch.setattr(consumer, "MAX_TRIES", 1)
    catalog, broker, stub = await database_of("catalog"), await broker_of("booking"), await desk.served()
    desk.fault = ValueError("the kennel is full")
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        await _say(catalog, 7)
        async with running(desk.consumer(broker).run()):
            await eventually(lambda: is_parked(desk))
        assert [outcome for _, outcome in await discard(desk, stub, subject=SUBJECT)] == [DISCARDED]
        desk.fault = None
        await have_everything_delivered_again(nats)
        async with running(desk.consumer(broker).run()):
            await _say(catalog, 8)
            await eventually(lambda: _has_heard(desk))
            await eventually(lambda: is_acknowledged(broker, 2))
    assert await desk.rows("SELECT version FROM heard") == [(8,)]
    assert await desk.rows("SELECT 1 FROM parked_messages") == []


@pytest.mark.parametrize("headers", [{"ce-id": "x"}, {"ce-id": "x", "Nats-Msg-Id": "x"}, {}])
async def test_what_nobody_can_read_is_not_parked_again(
    desk: Desk, broker_of: MakeBroker, nats: testing.Broker, headers: dict[str, str]
) -> None:
    broker, stub = await broker_of("booking"), await desk.served()
    async with running(desk.consumer(broker).run()):
        await _publish(nats, b"{not json", {**headers, "ce-type": "clinic.changed"})
        await eventually(lambda: is_parked(desk))
    assert [outcome for _, outcome in await discard(desk, stub, error="Unprocessable")] == [DISCARDED]
    await have_everything_delivered_again(nats)
    async with running(desk.consumer(broker).run()):
        good = {"ce-id": "good", "ce-type": "clinic.changed", "ce-subject": "another clinic"}
        await _publish(nats, b'{"version": 8}', good)
        await eventually(lambda: _has_heard(desk))
        await eventually(lambda: is_acknowledged(broker, 2))
    assert await desk.rows("SELECT 1 FROM parked_messages") == []
    assert await desk.rows("SELECT outcome FROM message_redrives") == [("discarded",)]


async def test_a_later_message_with_the_number_of_one_that_was_discarded_is_parked(desk: Desk) -> None:
    """A broker whose store was wiped numbers anew, and what came from no outbox has no other name."""
    stub = await desk.served()
    row = unreadable("PETPRO_EVENTS:1")
    before = datetime.now(UTC) - timedelta(hours=1)
    async with desk.database.transaction() as tx:
        assert await parked.park(tx, row, has_own_id=False, arrived_at=before)
    await discard(desk, stub, subject=SUBJECT)
    async with desk.database.transaction() as tx:
        assert not await parked.park(tx, row, has_own_id=False, arrived_at=before)
    assert await desk.rows("SELECT 1 FROM parked_messages") == []
    async with desk.database.transaction() as tx:
        assert await parked.park(tx, row, has_own_id=False, arrived_at=before + timedelta(hours=2))
    assert await desk.rows("SELECT message_id FROM parked_messages") == [("PETPRO_EVENTS:1",)]


async def test_a_message_whose_redrive_failed_is_set_aside_again_when_it_comes_again(desk: Desk) -> None:
    """Only what was given up stays away; this one's effect is still missing."""
    desk.fault = ValueError("the kennel is full")
    stub, number = await desk.served(desk.consumer()), await desk.park(1)
    assert await redrive(desk, stub, id=number) == [(number, FAILED)]
    async with desk.database.transaction() as tx:
        assert await parked.park(tx, unreadable("clinic 1"), has_own_id=True, arrived_at=datetime.now(UTC))
    assert await desk.rows("SELECT id FROM parked_messages") == [(number,)]


async def test_a_command_that_was_discarded_goes_unanswered_until_its_saga_asks_again(desk: Desk) -> None:
    stub, paying = await desk.served(), Paying(desk)
    number = await park(desk.database, PAY, "miko:pay:forward:1", paying.command(attempt=1))
    assert await discard(desk, stub, id=number) == [(number, DISCARDED)]
    await paying.arrives("miko:pay:forward:1", attempt=1)
    assert (paying.paid, await desk.rows("SELECT 1 FROM outbox")) == ([], [])

    await paying.arrives("miko:pay:forward:2", attempt=2)
    await paying.arrives("miko:pay:forward:1", attempt=1)
    assert paying.paid == ["miko:pay:forward"]
    assert await desk.rows("SELECT message_id FROM outbox") == [("miko:pay:forward.2.OUTCOME_SUCCEEDED",)]


async def test_a_command_that_nobody_can_read_is_discarded_and_never_kept_as_handled(desk: Desk) -> None:
    """None of its commands is known, so none was carried out."""
    stub, number = await desk.served(), await park(desk.database, PAY, "torn", b"\xff")
    assert await discard(desk, stub, id=number) == [(number, DISCARDED)]
    row = {**unreadable("torn"), "subject": PAY, "payload": b"\xff"}
    async with desk.database.transaction() as tx:
        assert not await parked.park(tx, row, has_own_id=True, arrived_at=datetime.now(UTC))
    assert await desk.rows("SELECT 1 FROM parked_messages") == []


async def test_a_command_that_another_copy_has_carried_out_is_kept_as_handled_and_answered_still(desk: Desk) -> None:
    stub, paying = await desk.served(), Paying(desk)
    number = await park(desk.database, PAY, "miko:pay:forward:1", paying.command(attempt=1))
    await paying.arrives("miko:pay:forward:2", attempt=2)
    assert await discard(desk, stub, id=number) == [(number, HANDLED)]
    await paying.arrives("miko:pay:forward:1", attempt=1)
    assert paying.paid == ["miko:pay:forward"]
    assert len(await desk.rows("SELECT 1 FROM outbox")) == 2


async def _say(database: Database, version: int) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", new_id(), {"version": version})


async def _publish(nats: testing.Broker, payload: bytes, headers: dict[str, str]) -> None:
    connection = await nats_client.connect(nats.operator_url)
    await connection.jetstream().publish(SUBJECT, payload, headers=headers)
    await connection.close()


async def _has_heard(desk: Desk) -> bool:
    return bool(await desk.rows("SELECT 1 FROM heard"))
