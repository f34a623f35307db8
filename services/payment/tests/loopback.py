"""Contract fakes on the loopback, so that an adapter reaches them as it reaches a provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[str]:
    """The URL of a fake that has these routes."""
    fake = web.Application()
    fake.add_routes(routes)
    runner = web.AppRunner(fake, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def lost(request: web.Request) -> web.StreamResponse:
    """An answer during which the connection breaks off."""
    answer = web.StreamResponse()
    answer.content_length = 100
    await answer.prepare(request)
    await answer.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return answer
