"""What every suite of this repository can use: a database, a broker, a whole running stack.

| fixture | what it gives |
|---|---|
| `postgres_server` | a PostgreSQL of the test run; all workers share it |
| `database` | `await database("booking")`: a fresh, migrated database of that service, gone after the test |
| `empty_database` | the same without migrations |
| `nats_server` | a NATS with every service's user; each worker has one |
| `nats` | the same, emptied of all streams before the test |
| `stack` | the whole platform as it ships, shared by all workers: do not kill its parts |
| `own_stack` | the whole platform for tests that kill its parts: no other test runs on it meanwhile |
| `start_own_stack` | a stack for one test module, with the parts and settings that it wants |

Stacks are forked from one process that has its imports, but for those that are to be as shipped.
"""

import os
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from uuid import uuid4

import nats as nats_client
import pytest
from hypothesis import HealthCheck, settings

from devstack import testing
from devstack.running import RunningStack
from devstack.stack import PARTS
from devstack.testing import Broker, Database, MakeDatabase, Settings, StartStack
from petpro_common import db, rpc
from petpro_common.messaging import consumer

FOLDER = pytest.StashKey[Path]()
PATIENCE_SECONDS = 60.0

settings.register_profile("as long as it takes", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("as long as it takes")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[FOLDER] = testing.open_folder()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in a folder named `unit` needs no server."""
    for item in items:
        if "unit" in item.path.parts:
            item.add_marker("unit")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    folder = session.config.stash.get(FOLDER, None)
    if folder is not None:
        testing.close_folder(folder, keep_logs=exitstatus == pytest.ExitCode.TESTS_FAILED)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service in a test's own process refuses no call, and takes no batch apart, because the machine is busy."""
    monkeypatch.setattr(rpc, "DEFAULT_DEADLINE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(rpc, "_LONGEST_UNREAD_SECONDS", int(PATIENCE_SECONDS))
    monkeypatch.setattr(db, "_CHECKOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(consumer, "_BATCH_SECONDS", PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def postgres_server() -> RunningStack:
    return testing.shared_stack("postgres", ["postgres"])


@pytest.fixture
async def database(postgres_server: RunningStack) -> AsyncIterator[MakeDatabase]:
    made: list[Database] = []

    async def make(service: str) -> Database:
        made.append(await testing.make_database(postgres_server, service, f"{service}_{uuid4().hex}"))
        return made[-1]

    yield make
    await _drop(postgres_server, made)


@pytest.fixture
async def empty_database(postgres_server: RunningStack) -> AsyncIterator[MakeDatabase]:
    made: list[Database] = []

    async def make(service: str) -> Database:
        made.append(await testing.make_empty_database(postgres_server, service, f"{service}_{uuid4().hex}"))
        return made[-1]

    yield make
    await _drop(postgres_server, made)


async def _drop(server: RunningStack, databases: list[Database]) -> None:
    for database in databases:
        await testing.surroundings_of(server).postgres.drop_database(database.name)


@pytest.fixture(scope="session")
def nats_server() -> Broker:
    return testing.broker(testing.shared_stack(f"nats-{_worker()}", ["nats"]))


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "alone")


@pytest.fixture
async def nats(nats_server: Broker) -> Broker:
    connection = await nats_client.connect(nats_server.operator_url)
    streams = connection.jetstream()
    for stream in await streams.streams_info():
        await streams.delete_stream(str(stream.config.name))
    await connection.close()
    return nats_server


@pytest.fixture(scope="session")
def stack() -> RunningStack:
    return testing.shared_stack("stack", as_shipped=True)


@pytest.fixture(scope="module")
def start_own_stack(request: pytest.FixtureRequest) -> Iterator[StartStack]:
    started: list[RunningStack] = []
    failed_before = request.session.testsfailed

    def start(only: Collection[str] = PARTS, env: Settings | None = None, *, as_shipped: bool = False) -> RunningStack:
        run = testing.folder_of_run() / f"own-{uuid4().hex[:8]}"
        started.append(testing.start_stack(run, only, env=env, as_shipped=as_shipped))
        return started[-1]

    yield start
    for stack in started:
        testing.stop_stack(stack, keep_logs=request.session.testsfailed > failed_before)


@pytest.fixture(scope="module")
def impatient_stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(env=testing.IMPATIENT)


@pytest.fixture
async def own_stack(impatient_stack: RunningStack) -> RunningStack:
    """One for each module; whatever an earlier test left down is started again."""
    for part in PARTS:
        if impatient_stack.state(part) != "ready":
            await impatient_stack.start_part(part)
    return impatient_stack
