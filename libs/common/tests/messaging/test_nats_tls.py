"""TLS to a real NATS, with real certificates: both sides prove themselves before a password is sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.nats import nats_server
from devstack.part import connect, until
from devstack.ports import Ports
from petpro_common.messaging.broker import Broker
from petpro_common.testing.certificates import Authority
from petpro_common.testing.running import eventually, running

PASSWORD = "nobody-hears-this"


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def address(authority: Authority, tmp_path: Path) -> AsyncIterator[str]:
    """Of a NATS that has a certificate in the folder `server`, and that knows booking."""
    address = Ports.for_new_stack(tmp_path / "ports.json").address("nats")
    server = authority.issue(tmp_path / "server")
    secured = {"cert_file": f"{server}/tls.crt", "key_file": f"{server}/tls.key", "ca_file": f"{server}/ca.crt"}
    settings = {
        "listen": address,
        "jetstream": {"store_dir": str(tmp_path / "data")},
        "authorization": {"users": [{"user": "booking", "password": PASSWORD}]},
        "tls": {**secured, "verify": True, "handshake_first": True},
    }
    (tmp_path / "nats.conf").write_text(json.dumps(settings))
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            nats_server(), "-c", tmp_path / "nats.conf", stdout=log, stderr=log
        )
    await until(lambda: _listens(address))
    yield address
    process.terminate()
    await process.wait()


async def _listens(address: str) -> bool:
    await connect(address)
    return True


def _booking(url: str, folder: Path | None = None) -> Broker:
    return Broker("booking", url, PASSWORD, tls_folder=str(folder or ""))


async def _is_refused(broker: Broker, log: Path) -> None:
    """It tries and tries again, and no handshake comes to an end."""
    async with running(broker.run()):
        await eventually(lambda: log.read_text().count("TLS handshake error") >= 2)
        assert not broker.is_connected
    await broker.close()


async def test_a_service_with_a_certificate_of_the_authority_publishes(
    address: str, authority: Authority, tmp_path: Path
) -> None:
    broker = _booking(f"tls://{address}", authority.issue(tmp_path / "booking"))
    async with running(broker.run()):
        await broker.until_connected()
        taken = await broker.publish("petpro.events.booking.confirmed", b"{}", {"Nats-Msg-Id": "one"})
        assert taken.seq == 1
    await broker.close()


async def test_a_service_with_a_certificate_of_another_authority_is_refused(address: str, tmp_path: Path) -> None:
    stranger = Authority().issue(tmp_path / "stranger")
    (stranger / "ca.crt").write_bytes((tmp_path / "server/ca.crt").read_bytes())  # it does trust the server
    await _is_refused(_booking(f"tls://{address}", stranger), tmp_path / "log")


async def test_a_server_of_another_authority_is_not_told_the_password(address: str, tmp_path: Path) -> None:
    await _is_refused(_booking(f"tls://{address}", Authority().issue(tmp_path / "booking")), tmp_path / "log")


async def test_a_server_of_another_name_is_not_told_the_password(
    address: str, authority: Authority, tmp_path: Path
) -> None:
    url = f"tls://localhost:{address.rpartition(':')[2]}"
    await _is_refused(_booking(url, authority.issue(tmp_path / "booking")), tmp_path / "log")


async def test_who_says_in_clear_text_that_no_tls_is_needed_hears_no_password(
    authority: Authority, tmp_path: Path
) -> None:
    heard = b""

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(b'INFO {"server_id":"X","version":"2.15.1","max_payload":1048576,"tls_required":false}\r\n')
        heard += await reader.read(4096)
        writer.close()

    server = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    broker = _booking(f"tls://127.0.0.1:{port}", authority.issue(tmp_path / "booking"))
    async with server, running(broker.run()):
        await eventually(lambda: bool(heard))
    assert heard[0] == 0x16, "not the beginning of a handshake"
    assert PASSWORD.encode() not in heard
    await broker.close()
