"""What tests of a service's life have beside it: its settings, who asks somebody outside, its health."""

import asyncio
from typing import ClassVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text

from petpro_common.db import Database
from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    service: ClassVar[str] = "notification"


class Caller:
    """Asks somebody outside, who answers when a test says so; what became of it is its `outcome`."""

    def __init__(self) -> None:
        self.asks = asyncio.Event()
        self.is_answered = asyncio.Event()
        self.is_drained = asyncio.Event()
        self.outcome = "asks"

    def drain(self) -> None:
        self.is_drained.set()

    async def run(self) -> None:
        self.asks.set()
        try:
            await self.is_answered.wait()
            self.outcome = "answered"
            await self.is_drained.wait()
        except asyncio.CancelledError:
            self.outcome = "cut off"
            raise


async def put_at(settings: Settings, version: str) -> None:
    """Has the database be at a version, whatever is in it."""
    database = Database(settings.database_url, settings.database_password.get_secret_value())
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    await database.close()


async def health(address: str, name: str, seconds: float = 30, *, packed: bool = False) -> int:
    compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
    async with grpc.aio.insecure_channel(address, compression=compression) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # its stubs are not generated
        reply = await check(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=seconds)
        return int(reply.status)
