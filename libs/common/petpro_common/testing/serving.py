"""Runs servicers in-process on a free loopback port, behind the same edge as in production."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from grpc import aio

from petpro_common import rpc
from petpro_common.auth import Verifier


@asynccontextmanager
async def serving(
    service: str, verifier: Verifier, register: Callable[[aio.Server], None], **most: int
) -> AsyncIterator[aio.Channel]:
    """A channel to a server on which `register` has put its servicers; `most` are the limits of the edge."""
    async with edge_of(rpc.Edge(service, verifier, **most), register) as channel:
        yield channel


@asynccontextmanager
async def edge_of(edge: rpc.Edge, register: Callable[[aio.Server], None]) -> AsyncIterator[aio.Channel]:
    """A channel to a server behind this edge."""
    server = rpc.server(edge)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)
