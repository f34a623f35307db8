"""Whatever strangers have the gateway keep, it stays within what its container may take, and answers its probes."""

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from petpro_common.testing import eventually
from petpro_gateway.policy import Policy
from services.gateway.tests.edge import SERVICES, Edge, running
from services.gateway.tests.frames import frame, text
from services.gateway.tests.servicers import BEGUN_BOOKING, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTAINER = 512 << 20
"""The limit in deploy/k8s/base/gateway."""
_IDLE_CORES = 0.1
CANCEL = f"/v1/bookings/{BEGUN_BOOKING}:cancel"


@asynccontextmanager
async def fresh(policy: Policy, upstream: Upstream, folder: Path) -> AsyncIterator[Edge]:
    """A gateway of its own: memory that was freed is not given back at once."""
    async with running(policy, dict.fromkeys(SERVICES, upstream.address), folder) as edge:
        yield edge


def most_memory(edge: Edge) -> int:
    """The most bytes that the process has ever had."""
    return memory(edge, "VmHWM")


def memory(edge: Edge, kind: str = "VmRSS") -> int:
    status = Path(f"/proc/{edge.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(kind)) << 10


def cpu_seconds(edge: Edge) -> float:
    """What the process has worked until now."""
    fields = Path(f"/proc/{edge.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def taken_in(edge: Edge) -> None:
    """Until the gateway has read what was sent, and ended what is too much: it has nothing to do any more, however busy
    the machine is with something else."""
    spent = float("-inf")
    while cpu_seconds(edge) - spent > _IDLE_CORES:
        spent = cpu_seconds(edge)
        await asyncio.sleep(1)


async def send(edge: Edge, sent: bytes) -> asyncio.StreamWriter:
    host, _, port = edge.address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    await go_on(writer, sent)
    return writer


async def go_on(client: asyncio.StreamWriter, sent: bytes) -> None:
    """Until all is on its way; some are hung up on before."""
    client.write(sent)
    with contextlib.suppress(ConnectionError):
        await client.drain()


async def hold(edge: Edge, connections: int, sent: bytes) -> list[asyncio.StreamWriter]:
    """Many clients that say this and read nothing. Returns when the gateway has had some time for them."""
    clients = [await send(edge, sent) for _ in range(connections)]
    await asyncio.sleep(2)
    return clients


async def answers(edge: Edge, path: str = "/v1/clinics") -> int:
    address = edge.metrics if path == "/ready" else edge.address
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return (await client.get(f"http://{address}{path}")).status_code


def end(clients: list[asyncio.StreamWriter]) -> None:
    for client in clients:
        client.close()


def http2(asks: bytes, streams: int, window: int = 65_535, *, with_body: bool = False) -> bytes:
    """A client that asks so often at once, and takes as much of each answer as the window says."""
    begun = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, window)) + frame(4, 1, 0)
    return begun + b"".join(frame(1, 4 if with_body else 5, 1 + 2 * i, asks) for i in range(streams))


def bodies(streams: int) -> bytes:
    """As much of each body as the gateway takes without saying so."""
    sizes = [16_384, 16_384, 16_384, 16_383]
    return b"".join(frame(0, 0, 1 + 2 * i, b" " * size) for i in range(streams) for size in sizes)


def nearly_sends(path: str) -> bytes:
    """An HTTP/1.1 client whose body lacks its last byte."""
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
    return head.encode() + b" " * 999_999


async def test_pages_that_nobody_reads(policy: Policy, upstream: Upstream, tmp_path: Path) -> None:
    asks = b"\x82\x86\x04" + text("/openapi.json") + b"\x01\x01a"
    async with fresh(policy, upstream, tmp_path) as edge:
        clients = await hold(edge, 12, http2(asks, streams=250, window=0))
        assert await answers(edge) == 200
        assert most_memory(edge) < CONTAINER // 2
        end(clients)


async def test_bodies_of_strangers_that_never_end(policy: Policy, upstream: Upstream, tmp_path: Path) -> None:
    async with fresh(policy, upstream, tmp_path) as edge:
        clients = await hold(edge, 600, nearly_sends("/v1/webhooks/sandbox"))
        assert await answers(edge) == 200
        assert most_memory(edge) < CONTAINER // 2
        end(clients)


async def test_bodies_of_people_that_never_end(
    policy: Policy, upstream: Upstream, dewi: dict[str, str], tmp_path: Path
) -> None:
    """Anybody may sign in, so the largest of them are ended when memory runs short."""
    asks = b"\x83\x86\x04" + text(CANCEL) + b"\x01\x01a" + b"\x0f\x08" + text(dewi["authorization"])
    async with fresh(policy, upstream, tmp_path) as edge:
        clients = await hold(edge, 150, http2(asks, streams=15, with_body=True))
        for _ in range(4):
            await asyncio.gather(*(go_on(client, bodies(15)) for client in clients))
            await taken_in(edge)  # and the windows are open again, without a look at them
        assert await answers(edge, "/ready") == 200
        assert most_memory(edge) < CONTAINER
        end(clients)

        async def serves_again() -> bool:
            return await answers(edge) == 200

        await eventually(serves_again)


async def test_probes_are_answered_whatever_connections_strangers_keep(
    policy: Policy, upstream: Upstream, tmp_path: Path
) -> None:
    few = policy.model_copy(update={"limits": policy.limits.model_copy(update={"connections": 4})})
    clients: list[asyncio.StreamWriter] = []
    async with fresh(few, upstream, tmp_path) as edge:

        async def takes_no_more() -> bool:
            clients.append(await send(edge, b""))
            try:
                return await answers(edge) != 200
            except httpx.TransportError:
                return True

        await eventually(takes_no_more)
        assert await answers(edge, "/ready") == 200
        end(clients)
