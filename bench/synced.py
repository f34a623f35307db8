"""A broker that syncs every message to the disk before it acknowledges it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.stage import Stage
from devstack.layout import write_private_json
from devstack.nats import nats_server


@asynccontextmanager
async def synced_broker(stage: Stage) -> AsyncIterator[None]:
    """Has the stage's broker run with `sync_interval: always` for the length of the block."""
    folder = stage.around.layout.nats
    settings = json.loads((folder / "nats.conf").read_text())
    settings["jetstream"]["sync_interval"] = "always"
    write_private_json(folder / "synced.conf", settings)
    await stage.stack.stop_part("nats")
    await stage.stack.start_part("nats", [nats_server(), "-c", str(folder / "synced.conf")])
    try:
        await stage.quiet()
        yield
    finally:
        await stage.stack.stop_part("nats")
        await stage.stack.start_part("nats")
        await stage.quiet()
