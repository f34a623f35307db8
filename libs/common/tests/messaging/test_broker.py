"""The connection to NATS, when the server itself ends it."""

import asyncio

import pytest
from nats.aio.client import Client

from devstack import testing
from petpro_common.messaging.broker import Broker
from petpro_common.testing.running import eventually, running

TOO_MUCH = b"PUB petpro.events.booking.confirmed 2000000\r\n"


async def test_a_connection_that_the_server_ends_with_an_error_is_made_again(nats: testing.Broker) -> None:
    broker = Broker("booking", nats.url, nats.passwords["booking"])
    async with running(broker.run()):
        await broker.until_connected()
        ended = broker.client
        ended._transport.write(TOO_MUCH)  # type: ignore[union-attr]  # the client itself would not try
        await eventually(lambda: ended.is_closed)
        await eventually(lambda: broker.is_connected)
        assert (await broker.jetstream.stream_info("PETPRO_EVENTS")).config.name == "PETPRO_EVENTS"
    await broker.close()


async def test_also_one_that_ends_before_the_streams_are_there(
    nats: testing.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[Client] = []
    has_stream = Broker._has_stream

    async def not_for_the_first(broker: Broker, name: str, subjects: str) -> bool:
        clients.append(broker.client)
        return broker.client is not clients[0] and await has_stream(broker, name, subjects)

    monkeypatch.setattr(Broker, "_has_stream", not_for_the_first)
    broker = Broker("booking", nats.url, nats.passwords["booking"])
    async with running(broker.run()), asyncio.timeout(60):
        await eventually(lambda: bool(clients))
        clients[0]._transport.write(TOO_MUCH)  # type: ignore[union-attr]
        await broker.until_connected()
    await broker.close()
