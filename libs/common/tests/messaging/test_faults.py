"""What a consumer does when it cannot do its work: nothing is lost by it, and nothing else waits for it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg import Error, InterfaceError, OperationalError, errors
from sqlalchemy import text
from structlog.testing import capture_logs

from petpro_common.db import Database, Transaction, is_away
from petpro_common.ids import new_id
from petpro_common.messaging import consumer
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

CLINIC = new_id()


Try = Callable[[Transaction], Awaitable[Any]]


class Listener:
    """A service that hears of one clinic, and whose first tries go as the test wants."""

    def __init__(self, *first_tries: Try) -> None:
        self.heard: list[int] = []
        self._first_tries = list(first_tries)

    @property
    def tries_left(self) -> int:
        return len(self._first_tries)

    async def on_clinic(self, tx: Transaction, event: Event) -> None:
        if self._first_tries:
            await self._first_tries.pop(0)(tx)
        self.heard.append(event["version"])

    def consumer(self, database: Database, broker: Broker) -> Any:
        return event_consumer(database, broker, {"clinic.changed": self.on_clinic}).run()


async def fail(_: Transaction) -> None:
    raise ValueError("no such kennel")


async def time_out(tx: Transaction) -> None:
    await tx.execute(text("SET LOCAL statement_timeout = 1"))
    await tx.execute(text("SELECT pg_sleep(1)"))


async def find_a_lock_taken(tx: Transaction) -> None:
    await tx.execute(text("DO $$ BEGIN RAISE lock_not_available; END $$"))


async def meet_another(tx: Transaction) -> None:
    await tx.execute(text("DO $$ BEGIN RAISE deadlock_detected; END $$"))


async def lose_the_server(tx: Transaction) -> None:
    await tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def say(database: Database, version: int) -> None:
    async with database.transaction() as tx:
        add_event(tx, "catalog", "clinic.changed", CLINIC, {"clinic_id": CLINIC, "version": version})


async def count_parked(database: Database) -> int:
    async with database.transaction() as tx:
        return int((await tx.execute(text("SELECT count(*) FROM parked_messages"))).scalar_one())


async def test_a_message_that_cannot_even_be_set_aside_does_not_hold_up_those_after_it(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_TRIES", 1)
    catalog, booking = await database_of("catalog"), await database_of("booking")
    async with booking.transaction() as tx:
        await tx.execute(text("ALTER TABLE parked_messages RENAME TO parked_elsewhere"))
    listener = Listener(fail)
    relay = Relay(catalog, await broker_of("catalog"))
    async with running(relay.run(), listener.consumer(booking, await broker_of("booking"))):
        await say(catalog, 1)
        await say(catalog, 2)
        await eventually(lambda: 2 in listener.heard, seconds=25)


async def test_a_message_that_looks_like_a_word_of_the_brokers_is_set_aside(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    """Never acknowledged, some hundred of them would leave a service deaf."""
    catalog, booking = await broker_of("catalog"), await database_of("booking")

    async def is_set_aside() -> bool:
        return await count_parked(booking) == 1

    async with running(Listener().consumer(booking, await broker_of("booking"))):
        await catalog.publish("petpro.events.clinic.changed", b"", {"Status": "408"})
        await eventually(is_set_aside)


async def test_while_the_database_is_away_no_message_is_given_up(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_TRIES", 2)
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener(lose_the_server, lose_the_server, lose_the_server, fail)
    relay = Relay(catalog, await broker_of("catalog"))
    async with running(relay.run(), listener.consumer(booking, await broker_of("booking"))):
        await say(catalog, 1)
        await eventually(lambda: listener.heard == [1])
    assert await count_parked(booking) == 0


@pytest.mark.parametrize("trouble", [time_out, find_a_lock_taken, meet_another])
async def test_a_message_that_always_meets_the_same_trouble_in_the_database_is_set_aside(
    trouble: Try, database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_TRIES", 3)
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener(*[trouble] * 10)
    relay = Relay(catalog, await broker_of("catalog"))

    async def is_set_aside() -> bool:
        return await count_parked(booking) == 1

    async with running(relay.run(), listener.consumer(booking, await broker_of("booking"))):
        await say(catalog, 1)
        await eventually(is_set_aside)
    assert listener.tries_left == 6  # the first was in a batch


async def test_a_message_is_tried_as_often_as_is_said_by_us_and_by_the_broker(
    database_of: MakeDatabase, broker_of: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the broker no longer delivers is neither handled nor set aside: it is lost."""
    monkeypatch.setattr(consumer, "pause_after", lambda _: 0.01)
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener(*[fail] * consumer.MAX_TRIES)  # the first in a batch, so that the last one is good
    relay = Relay(catalog, await broker_of("catalog"))
    async with running(relay.run(), listener.consumer(booking, await broker_of("booking"))):
        await say(catalog, 1)
        await eventually(lambda: listener.heard == [1])
    assert await count_parked(booking) == 0


@pytest.mark.unit
@pytest.mark.parametrize(
    ("fault", "away"),
    [
        (OperationalError("the connection is lost"), True),
        (InterfaceError("the connection is closed"), True),
        (ConnectionResetError(), True),
        (errors.AdminShutdown(), True),
        (errors.CannotConnectNow(), True),
        (errors.TooManyConnections(), True),
        (errors.DiskFull(), True),
        (errors.QueryCanceled(), False),
        (errors.LockNotAvailable(), False),
        (errors.DeadlockDetected(), False),
        (errors.SerializationFailure(), False),
        (errors.UniqueViolation(), False),
        (TimeoutError(), False),
    ],
)
def test_away_is_what_would_meet_any_statement(fault: Error | OSError, away: bool) -> None:
    assert is_away(fault) == away


async def test_a_log_of_a_failed_message_tells_what_failed_and_where_and_nothing_that_it_said(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    catalog, booking = await database_of("catalog"), await database_of("booking")
    listener = Listener(fail, fail, fail)
    relay = Relay(catalog, await broker_of("catalog"))
    with capture_logs() as said:
        async with running(relay.run(), listener.consumer(booking, await broker_of("booking"))):
            await say(catalog, 1)
            await eventually(lambda: listener.heard == [1])
    assert "kennel" not in str(said)
    (first, *_) = [line for line in said if line["event"] == "message failed"]
    assert first["cause"].startswith("ValueError")
    assert not any("exc_info" in line for line in said)
