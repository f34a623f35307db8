"""Production's three NATS servers with the component `mtls`: the rendered configuration, on this machine."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from devstack.nats import nats_server
from devstack.ports import Ports
from petpro_common.messaging.broker import Broker
from petpro_common.testing.certificates import Authority
from petpro_common.testing.running import running
from tests.k8s.rendering import combined
from tests.k8s.test_servers import PASSWORDS

CERTIFICATES = "/etc/petpro/tls"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Ports]:
    """The ports of production's three NATS servers, each with a certificate, all on this machine."""
    issued, ports = Authority().issue(tmp_path / "issued"), Ports.for_new_stack(tmp_path / "ports.json")
    texts = combined("production", "mtls").get("ConfigMap", "petpro-nats")["data"]
    processes = []
    for server in range(3):
        folder = tmp_path / f"nats-{server}"
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(_here(text, server, ports, folder, issued))
        command = [nats_server(), "-c", str(folder / "nats.conf")]
        env = {"POD_NAME": f"nats-{server}", **PASSWORDS}
        with (folder / "log").open("wb") as log:
            processes.append(await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log))
    yield ports
    for process in processes:
        process.terminate()
        await process.wait()


def _here(text: str, server: int, ports: Ports, folder: Path, issued: Path) -> str:
    """A file of the servers' configuration with ports, folders and certificates of this machine."""
    there = {
        "port: 4222": f"port: {ports.of(f'client-{server}')}",
        "http_port: 8222": f"http_port: {ports.of(f'monitor-{server}')}",
        "port: 6222": f"port: {ports.of(f'route-{server}')}",
        "/data": str(folder / "data"),
        "/tmp/nats.pid": str(folder / "pid"),  # noqa: S108 -- the container's
        CERTIFICATES: str(issued),
        **{f"nats-{other}.nats:6222": ports.address(f"route-{other}") for other in range(3)},
    }
    for old, new in there.items():
        text = text.replace(old, new)
    return text


async def test_a_cluster_keeps_streams_three_times_over_routes_with_certificates(
    cluster: Ports, tmp_path: Path
) -> None:
    url, folder = f"tls://{cluster.address('client-0')}", str(tmp_path / "issued")
    broker = Broker("booking", url, PASSWORDS["BOOKING_PASSWORD"], 3, tls_folder=folder)
    async with running(broker.run()):
        await broker.until_connected()
        info = await broker.jetstream.stream_info("PETPRO_EVENTS")
    await broker.close()
    assert info.cluster is not None
    assert len(info.cluster.replicas or []) == 2

    async with httpx.AsyncClient(trust_env=False) as client:
        for server in range(3):
            said = (await client.get(f"http://{cluster.address(f'monitor-{server}')}/varz")).json()
            assert (said["tls_required"], said["tls_verify"]) == (True, True)
            assert (said["cluster"]["tls_required"], said["cluster"]["tls_verify"]) == (True, True)
