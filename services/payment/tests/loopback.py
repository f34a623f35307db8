"""Contract fakes on the loopback, so that an adapter reaches them as it reaches a provider."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response


@asynccontextmanager
async def serving(fake: Starlette) -> AsyncIterator[str]:
    """The URL of a fake."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(fake, http="h11", lifespan="off", log_config=None, log_level="critical"))
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


def lost() -> Response:
    """An answer during which the connection breaks off."""
    return Response(headers={"content-length": "100"})
