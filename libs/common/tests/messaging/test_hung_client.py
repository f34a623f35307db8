"""The NATS client hangs in ways that it does not tell of; the connection comes back all the same.

On uvloop, as the services run: what is written to a closed connection is a RuntimeError there.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest
import uvloop
from nats.errors import Error as NatsError

from devstack import testing
from petpro_common.messaging import broker as broker_module
from petpro_common.messaging.broker import Broker
from petpro_common.testing.running import eventually, running

Story: TypeAlias = Callable[[Broker, "_Way"], Awaitable[None]]


@pytest.fixture
def tell(nats: testing.Broker, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], Awaitable[None]]:
    """Plays a story with a broker that has been connected by a `_Way`."""
    monkeypatch.setattr(broker_module, "_HANGS_SECONDS", 1.0)
    monkeypatch.setattr(broker_module, "_PING_SECONDS", 0.5)

    async def play(story: Story) -> None:
        way = _Way(nats.url)
        broker = Broker("booking", way.url, nats.passwords["booking"])
        async with running(broker.run()), asyncio.timeout(60):
            await broker.until_connected()
            await story(broker, way)
        await broker.close()
        way.close()

    return lambda story: asyncio.to_thread(uvloop.run, play(story))


async def test_a_server_that_hangs_up_when_it_has_greeted(tell: Callable[[Story], Awaitable[None]]) -> None:
    async def story(broker: Broker, way: _Way) -> None:
        way.greets_and_resets.set()
        way.reset()
        await eventually(lambda: not broker.is_connected and not broker.client.is_reconnecting)
        way.greets_and_resets.clear()
        await eventually(lambda: broker.is_connected)

    await tell(story)


async def test_a_client_that_stumbles_while_it_closes_and_tells_nobody(
    tell: Callable[[Story], Awaitable[None]],
) -> None:
    """So it does, at times, when the server ends the connection with an error."""

    async def story(broker: Broker, _: _Way) -> None:
        ended = broker.client
        ended._transport.close()  # type: ignore[union-attr]
        ended._pending_data_size += 1
        with pytest.raises(RuntimeError):
            await ended.close()
        await eventually(lambda: broker.client is not ended and broker.is_connected)

    await tell(story)


async def test_a_server_whose_machine_vanishes_under_load(tell: Callable[[Story], Awaitable[None]]) -> None:
    async def story(broker: Broker, way: _Way) -> None:
        gone = broker.client
        way.swallows.set()
        with contextlib.suppress(NatsError):
            while gone.is_connected:  # more than all buffers on the way can take
                await gone.publish("petpro.events.booking.confirmed", bytes(1 << 19))
        await eventually(lambda: broker.client is not gone and broker.is_connected)
        way.swallows.clear()

    await tell(story)


async def test_who_hangs_up_while_the_server_is_away_has_something_to_send(
    tell: Callable[[Story], Awaitable[None]],
) -> None:
    async def story(broker: Broker, way: _Way) -> None:
        way.greets_and_resets.set()
        way.reset()
        await eventually(lambda: not broker.is_connected)
        await broker.client.publish("petpro.events.booking.confirmed", b"{}")
        await broker.close()
        assert broker.client.is_closed

    await tell(story)


class _Way:
    """A way to the server for any number of connections."""

    def __init__(self, url: str) -> None:
        to = urlsplit(url)
        self._server = (str(to.hostname), int(to.port or 0))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._socket.getsockname()[1]}"
        self.greets_and_resets, self.swallows = threading.Event(), threading.Event()
        self._clients: list[socket.socket] = []
        self._ends = [self._socket]
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def reset(self) -> None:
        """Resets all connections."""
        clients, self._clients = self._clients, []
        for client in clients:
            _reset(client)

    def close(self) -> None:
        for end in self._ends:
            _shut(end)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _run(self, work: Callable[..., None], *about: object) -> None:
        self._threads.append(threading.Thread(target=work, args=about))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._take(*self._socket.accept())

    def _take(self, client: socket.socket, _: object) -> None:
        server = socket.create_connection(self._server)
        self._ends += [client, server]
        if self.greets_and_resets.is_set():
            client.sendall(server.recv(1 << 16))
            _reset(client)
            _shut(server)
            return
        self._clients.append(client)
        self._run(_carry, client, server, None if self.swallows.is_set() else self.swallows)
        self._run(_carry, server, client, None)


def _carry(one: socket.socket, other: socket.socket, swallows: threading.Event | None) -> None:
    with contextlib.suppress(OSError):
        while said := one.recv(1 << 16):
            if swallows and swallows.is_set():
                return  # nothing more is read of it, and nobody hangs up
            other.sendall(said)
    _shut(one)
    _shut(other)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # so that the thread that reads it lets go of it
    connection.close()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
