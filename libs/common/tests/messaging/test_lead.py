"""Of two processes of a service one publishes. When the broker does not hear it, the other does: in order, and once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from devstack import testing
from libs.common.tests.processes import another
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import relay
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.publisher import Taken
from petpro_common.messaging.relay import Relay
from petpro_common.messaging.subjects import EVENTS
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running
from tests.chaos.wires import Wire

CLINIC = new_id()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_LONGEST_AWAY_SECONDS", 0.5)
    monkeypatch.setattr(relay, "_LONGEST_SILENT_SECONDS", 0.5)


class Unheard:
    """A broker of which everything can be asked, and that answers nothing that is published."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def publish(self, subject: str, payload: bytes, headers: Any) -> Taken:
        raise TimeoutError


class Service:
    """Two processes of catalog that say how often a clinic has changed, and what booking hears of it."""

    def __init__(self, catalog: Database, booking: Database, broker: Broker) -> None:
        self._processes = [catalog, another(catalog)]
        self._booking = booking
        self._broker = broker
        self._said = 0
        self.heard: list[int] = []

    @asynccontextmanager
    async def runs(self, *brokers: Any) -> AsyncIterator[list[Relay]]:
        """Each process with a broker of its own; the first leads."""
        first, other = relays = [Relay(*each) for each in zip(self._processes, brokers, strict=True)]
        hearing = event_consumer(self._booking, self._broker, {"clinic.changed": self._hear})
        async with running(first.run(), first.hear(), hearing.run()):
            await eventually(lambda: first._is_leading)
            async with running(other.run(), other.hear()):
                yield relays
        await self._processes[1].close()

    async def _hear(self, _: Transaction, event: Event) -> None:
        self.heard.append(event["version"])

    async def says(self) -> None:
        """Each process twice, in turn."""
        for _ in range(4):
            async with self._processes[self._said % 2].transaction() as tx:
                add_event(tx, "catalog", "clinic.changed", CLINIC, {"version": self._said})
            self._said += 1

    async def is_heard(self) -> None:
        await eventually(lambda: len(self.heard) >= self._said)
        assert self.heard == list(range(self._said))
        assert (await self._broker.jetstream.stream_info(EVENTS)).state.messages == self._said


@pytest.fixture
async def service(database_of: MakeDatabase, broker_of: MakeBroker) -> Service:
    return Service(await database_of("catalog"), await database_of("booking"), await broker_of("booking"))


@pytest.mark.parametrize("is_told", [True, False])
async def test_who_is_cut_off_from_the_broker_lets_another_lead(
    is_told: bool, service: Service, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    wire = Wire(int(urlsplit(nats.url).port or 0))
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    behind = Broker("catalog", f"nats://127.0.0.1:{port}", nats.passwords["catalog"])
    async with server, running(behind.run()):
        await behind.until_connected()
        async with service.runs(behind, await broker_of("catalog")) as (first, other):
            await service.says()
            await service.is_heard()
            if is_told:
                wire.mend(breaking=True)
            wire.cut()
            await service.says()
            await eventually(lambda: other._is_leading)
            await service.says()
            await service.is_heard()
            wire.mend(breaking=True)
            await eventually(lambda: behind.is_connected)
            await service.says()
            await service.is_heard()
            assert not first._is_leading
        await behind.close()


async def test_who_gets_no_answer_lets_another_lead(service: Service, broker_of: MakeBroker) -> None:
    async with service.runs(Unheard(await broker_of("catalog")), await broker_of("catalog")) as (_, other):
        await service.says()
        await eventually(lambda: other._is_leading)
        await service.is_heard()
