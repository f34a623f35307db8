"""Payment's surroundings: a migrated database, and a provider that is played or a sandbox of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from devstack.sandbox.testing import API_KEY, WEBHOOK_SECRET, Letterbox, SandboxProcess
from devstack.testing import MakeDatabase
from petpro_common.db import Database
from petpro_payment.providers.sandbox import SandboxProvider, sandbox_client
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import World

SHORT = {"settle": 0.05, "slow": 0.4, "late": 0.4, "retry": 0.05, "retry_limit": 0.2}


@pytest.fixture
async def pool(database: MakeDatabase) -> AsyncIterator[Database]:
    made = await database("payment")
    pool = Database(made.url, made.password, pool_size=10)
    yield pool
    await pool.close()


@pytest.fixture
def provider() -> PlayedProvider:
    return PlayedProvider()


@pytest.fixture
def world(pool: Database, provider: PlayedProvider) -> World:
    """The service over the played provider."""
    return World(pool, {"played": provider}, "played")


@pytest.fixture(scope="session")
def letterbox() -> Iterator[Letterbox]:
    with Letterbox() as letterbox:
        yield letterbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, letterbox: Letterbox) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), letterbox.url, **SHORT) as sandbox:
        yield sandbox


@pytest.fixture
async def sandbox_world(pool: Database, sandbox: SandboxProcess) -> AsyncIterator[World]:
    """The service over the real adapter and the real sandbox."""
    async with sandbox_client(f"http://{sandbox.address}", API_KEY, 20.0) as client:
        yield World(pool, {"sandbox": SandboxProvider(client, WEBHOOK_SECRET)}, "sandbox")
