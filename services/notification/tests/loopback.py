"""Who sends for us, played on the loopback, so that a sender reaches them as it reaches the real ones."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serving(*routes: web.RouteDef, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[str]:
    """The URL of a server with these routes."""
    played = web.Application()
    played.add_routes(routes)
    runner = web.AppRunner(played, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        host, at = runner.addresses[0]
        yield f"{'https' if tls else 'http'}://{host}:{at}"
    finally:
        await runner.cleanup()
