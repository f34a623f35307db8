"""A connection that is reset in the midst of an answer, on uvloop as the services run: it tells of that once."""

import asyncio
import socket
import struct
import threading

import pytest
import uvloop
from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database


async def test_who_waits_hears_of_a_reset_that_comes_with_half_an_answer(empty_database: testing.MakeDatabase) -> None:
    server = await empty_database("booking")
    with _Severed(server.url) as severed:
        await asyncio.to_thread(uvloop.run, _lose_it_to(severed, server.password))


async def _lose_it_to(severed: "_Severed", password: str) -> None:
    database = Database(severed.url, password)
    async with database.session() as session:
        await session.execute(text("SELECT 1"))
        severed.strikes.set()
        waiting = asyncio.create_task(session.execute(text("SELECT repeat('x', 1000)")))
        await asyncio.sleep(0)
        assert severed.has_struck.wait(60)  # nothing is read meanwhile: half of the answer and the reset come as one
        async with asyncio.timeout(60):
            with pytest.raises(OperationalError):
                await waiting
        assert not session._wire.is_sound


class _Severed:
    """A way to a server for one connection, which passes on half of an answer and resets it, once it `strikes`."""

    def __init__(self, url: str) -> None:
        to = conninfo_to_dict(url)
        self._server = (str(to["host"]), int(str(to["port"])))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = make_conninfo(url, host="127.0.0.1", port=self._socket.getsockname()[1])
        self.strikes, self.has_struck = threading.Event(), threading.Event()
        self._carrying = threading.Thread(target=self._carry)

    def __enter__(self) -> "_Severed":
        self._carrying.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._carrying.join()
        self._socket.close()

    def _carry(self) -> None:
        client, _ = self._socket.accept()
        with client, socket.create_connection(self._server) as server:
            while asked := client.recv(1 << 16):
                server.sendall(asked)
                answer = server.recv(1 << 16)
                if self.strikes.is_set():
                    client.sendall(answer[: len(answer) // 2])
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                client.sendall(answer)
        self.has_struck.set()
