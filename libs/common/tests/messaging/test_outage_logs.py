"""What a service says while the broker is away: that it is, and not four times a second."""

import time
from collections import Counter

import pytest
from structlog.testing import capture_logs

from devstack import testing
from devstack.testing import StartStack
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import relay
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.seldom import Seldom
from petpro_common.testing.running import MakeDatabase, eventually, running

OFTEN = 4


async def hear(tx: Transaction, event: Event) -> None:
    del tx, event


async def test_each_warning_is_said_once_while_the_broker_is_away(
    database_of: MakeDatabase, start_own_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_LONGEST_AWAY_SECONDS", 1.0)
    stack = start_own_stack(["nats"])
    around = testing.broker(stack)
    database = await database_of("catalog")
    broker = Broker("catalog", around.url, around.passwords["catalog"])
    consumer = event_consumer(database, broker, {"booking.completed": hear})
    publishing = Relay(database, broker)
    async with running(broker.run(), consumer.run(), publishing.run()):
        await eventually(lambda: consumer._is_there and publishing._is_leading)
        with capture_logs() as said:
            await stack.kill("nats")
            async with database.transaction() as tx:
                add_event(tx, "catalog", "clinic.changed", new_id(), {})
            await eventually(lambda: "relay tries again" in [line["event"] for line in said])
            kept_back = broker._seldom._events["nats"].times
            await eventually(lambda: broker._seldom._events["nats"].times >= kept_back + OFTEN)
        await stack.start_part("nats")
        await eventually(lambda: broker.is_connected)
    await broker.close()
    times = Counter(line["event"] for line in said)
    assert times["nats disconnected"] == 1
    assert times["nats"] == 1
    assert set(times.values()) == {1}, times


def test_what_repeats_is_said_at_once_and_then_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    warnings = Seldom()
    with capture_logs() as said:
        for seconds in (0.0, 0.2, 0.4, 59.9, 60.0, 60.2, 200.0, 300.0):
            now = seconds
            warnings.warning("nats", cause="refused")
        warnings.warning("stream is not ready")
    assert said == [
        {"event": "nats", "log_level": "warning", "cause": "refused"},
        {"event": "nats", "log_level": "warning", "cause": "refused", "times": 4},
        {"event": "nats", "log_level": "warning", "cause": "refused", "times": 2},
        {"event": "nats", "log_level": "warning", "cause": "refused"},
        {"event": "stream is not ready", "log_level": "warning"},
    ]
