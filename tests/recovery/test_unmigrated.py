"""A new replica whose migration is still to come leaves the database alone: what it would do for tables that are not
there, the replicas of the version before do for those that are."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.layout import SERVICES
from devstack.part import until
from devstack.ports import Ports
from devstack.running import RunningStack
from devstack.services import program, serves_health, settings
from devstack.testing import StartStack, surroundings_of
from petpro_common.testing import eventually
from petpro_common.versions import versions_of

_STATISTICS_SECONDS = 2.5  # after which PostgreSQL tells of what a connection did
_TOUCHED = """
    SELECT relname FROM pg_stat_user_tables
    WHERE seq_scan + coalesce(idx_scan, 0) + n_tup_ins > 0 AND relname <> 'alembic_version' ORDER BY relname
"""


@pytest.fixture(scope="module")
def stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(["postgres", "nats", "sandbox", "mail"])


@asynccontextmanager
async def replica(stack: RunningStack, service: str, folder: Path) -> AsyncIterator[str]:
    """A process of that service; gives where it listens."""
    ports, prefix = Ports.for_new_stack(folder / "ports.json"), f"PETPRO_{service.upper()}"
    own = {f"{prefix}_{name}_ADDRESS": ports.address(name.lower()) for name in ("GRPC", "METRICS")}
    env = {**os.environ, **settings(surroundings_of(stack), service), **own}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*program(service), env=env, stdout=log, stderr=log)
    try:
        yield ports.address("grpc")
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("service", SERVICES)
async def test_before_its_migration_a_replica_reads_and_writes_no_table(
    stack: RunningStack, service: str, tmp_path: Path
) -> None:
    versions = versions_of(f"petpro_{service}")
    dsn = surroundings_of(stack).postgres.superuser_url(f"petpro_{service}")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:

        async def put_at(version: str) -> None:
            await connection.execute("UPDATE alembic_version SET version_num = %s", [version])

        async def touched() -> list[str]:
            return [name for (name,) in await (await connection.execute(_TOUCHED)).fetchall()]

        async def works() -> bool:
            return "outbox" in await touched()

        await put_at(versions[-2])
        await connection.execute("SELECT pg_stat_reset()")
        async with replica(stack, service, tmp_path) as address, asyncio.timeout(120):
            await until(serves_health(address, "liveness"))
            await asyncio.sleep(_STATISTICS_SECONDS)
            assert await touched() == []
            assert not await serves_health(address, "readiness")()
            await put_at(versions[-1])
            await until(serves_health(address, "readiness"))
            await eventually(works)
