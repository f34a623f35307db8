"""`python -m devstack.sandbox`: serve until SIGTERM."""

import asyncio
import logging
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from devstack.sandbox.app import app
from devstack.sandbox.settings import Settings


class ClosableConnection(H11Protocol):
    """HTTP/1.1 whose requests can close their own connection, for the answers that get lost."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.load()
    host, port = settings.address.rsplit(":", 1)
    uvicorn.run(
        app(settings),
        host=host,
        port=int(port),
        http=ClosableConnection,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
