"""`python -m devstack.sandbox`: serve until SIGTERM."""

import logging

import uvloop
from aiohttp import web

from devstack.sandbox.app import app
from devstack.sandbox.settings import Settings

_SECONDS_TO_FINISH = 5.0


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.load()
    host, port = settings.address.rsplit(":", 1)
    web.run_app(
        app(settings),
        host=host,
        port=int(port),
        loop=uvloop.new_event_loop(),
        shutdown_timeout=_SECONDS_TO_FINISH,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
