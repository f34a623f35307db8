"""Old and new version side by side while a migration goes by: expand, then both serve, then contract.

The new version is the old one with two migrations more, as the next release would be.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from devstack.layout import ROOT
from devstack.part import until
from devstack.ports import Ports
from devstack.running import RunningStack
from devstack.services import serves_health, settings
from devstack.testing import StartStack, surroundings_of
from petpro_common.versions import versions_of

PACKAGE = "petpro_notification"
LAST = versions_of(PACKAGE)[-1]
VERSION = '''
"""{name}"""
from alembic import op
revision, down_revision = "{revision}", "{before}"
def upgrade() -> None:
    op.execute("""{statement}""")
'''
FILL = "UPDATE notifications SET tone = 'plain' WHERE tone IS NULL"
EXPAND = f"ALTER TABLE notifications ADD COLUMN tone text; {FILL}"
CONTRACT = f"{FILL}; ALTER TABLE notifications ALTER tone SET NOT NULL"


@pytest.fixture
def stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(["postgres", "nats", "account", "notification"])


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder with the next version of the service, which expands."""
    shutil.copytree(ROOT / "services/notification" / PACKAGE, tmp_path / PACKAGE)
    _add(tmp_path, "9001", LAST, EXPAND)
    return tmp_path


@pytest.fixture
async def new(stack: RunningStack, release: Path) -> AsyncIterator[str]:
    """Where a replica of the next version listens; the old one runs in the stack."""
    ports = Ports.for_new_stack(release / "ports.json")
    own = {"GRPC_ADDRESS": ports.address("grpc"), "METRICS_ADDRESS": ports.address("metrics")}
    env = _env(stack, release) | {f"PETPRO_NOTIFICATION_{name}": value for name, value in own.items()}
    with (release / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", PACKAGE, env=env, stdout=log, stderr=log)
    yield ports.address("grpc")
    process.terminate()
    await process.wait()


async def test_the_old_version_serves_on_while_the_new_one_comes(stack: RunningStack, release: Path, new: str) -> None:
    old = stack.endpoints["services"]["notification"]["grpc"]
    async with asyncio.timeout(120):
        await until(serves_health(new, "liveness"))
    assert await serves_health(old, "readiness")()
    assert not await serves_health(new, "readiness")(), "what it needs is not there yet"

    await _migrate(stack, release)
    async with asyncio.timeout(120):
        await until(serves_health(new, "readiness"))
    await asyncio.sleep(2)  # by then the old one has looked at the version again
    assert await serves_health(old, "readiness")()
    await _write_as_the_old_version_does(stack)

    await stack.stop_part("notification")
    _add(release, "9002", "9001", CONTRACT)
    await _migrate(stack, release)
    await asyncio.sleep(2)
    assert await serves_health(new, "readiness")()


def _add(folder: Path, revision: str, before: str, statement: str) -> None:
    text = VERSION.format(name=revision, revision=revision, before=before, statement=statement)
    (folder / PACKAGE / "migrations/versions" / f"{revision}_next.py").write_text(text)


def _env(stack: RunningStack, release: Path) -> dict[str, str]:
    return {**os.environ, **settings(surroundings_of(stack), "notification"), "PYTHONPATH": str(release)}


async def _migrate(stack: RunningStack, release: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "petpro_common.migrate", PACKAGE, env=_env(stack, release)
    )
    assert await process.wait() == 0


async def _write_as_the_old_version_does(stack: RunningStack) -> None:
    """Its statements know nothing of the new column."""
    dsn = stack.endpoints["services"]["notification"]["dsn"]
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO notifications (user_id, type, title, content) "
            "VALUES (uuidv7(), 'booking_confirmed', 'Confirmed', 'See you soon')"
        )
