"""Stacks for tests: started once and shared by all workers of a test run, or one's own.

The process that runs pytest (with xdist: its controller) owns one folder. Whoever first needs a shared stack
starts it there as a process of its own; it ends with the test run, whatever happens to the run.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from filelock import FileLock

from devstack import fork_server
from devstack.fork_server import Order
from devstack.layout import ROOT, SERVICES, Layout
from devstack.ports import Ports
from devstack.postgres import role_of
from devstack.process import FORK_SERVER_VARIABLE, is_running, python_module
from devstack.running import RunningStack
from devstack.services import Surroundings, migrated
from devstack.stack import PARTS, surroundings
from petpro_common.migrate import sqlalchemy_url, upgrade

FOLDER_VARIABLE = "PETPRO_TEST_STACKS"
OWNER_VARIABLE = "PETPRO_TEST_OWNER"
MEMORY = Path("/dev/shm")  # noqa: S108 -- the folder in it is nobody else's
"""Stacks of tests are kept here where there is room: on a disk, databases that come and go take thrice the time."""
ROOM_BYTES = 4 << 30
PREFIX = "petpro-tests-"
START_SECONDS = 200.0
STOP_SECONDS = 60.0


Settings = Mapping[str, Mapping[str, str]]
"""Settings more, by part."""


IMPATIENT: Settings = {
    "payment": {
        "PETPRO_PAYMENT_LEASE_SECONDS": "3",
        "PETPRO_PAYMENT_PROVIDER_TIMEOUT_SECONDS": "1.5",
        "PETPRO_PAYMENT_NOT_FOUND_GRACE_SECONDS": "3",
        "PETPRO_PAYMENT_POLL_SECONDS": "0.3",
        "PETPRO_PAYMENT_POLL_LIMIT_SECONDS": "2",
    },
    "notification": {
        "PETPRO_NOTIFICATION_DELIVERY_TRY_SECONDS": "3",
        "PETPRO_NOTIFICATION_DELIVERY_LEASE_SECONDS": "4",
    },
}
"""Leases that end soon: what a killed process had in hand is waited for by somebody."""


class StartStack(Protocol):
    """Starts a stack for one test module, with the parts and settings that it wants."""

    def __call__(
        self, only: Collection[str] = PARTS, env: Settings | None = None, *, as_shipped: bool = False
    ) -> RunningStack: ...


class MakeDatabase(Protocol):
    """Makes a fresh database of the named service for one test."""

    async def __call__(self, service: str) -> "Database": ...


class StackDidNotStart(Exception):
    """The message holds what the stack said."""


def open_folder() -> Path:
    """Make the folder of this test run, and let the workers know of it; what ended runs left in memory is removed."""
    for left in MEMORY.glob(f"{PREFIX}*-*"):
        if not is_running(int(left.name.removeprefix(PREFIX).partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    prefix = f"{PREFIX}{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _has_room(MEMORY) else None))
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ[OWNER_VARIABLE] = str(os.getpid())
    return folder


def close_folder(folder: Path, *, keep_logs: bool) -> None:
    """Stop every stack of this test run, and remove the folder, or all but the logs."""
    for description in folder.glob("*/stack.json"):
        _stop(json.loads(description.read_text())["supervisor"]["pid"])
    if not keep_logs:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for data in ("postgres", "nats", "sandbox", "mail", "secrets"):
        for unwanted in folder.glob(f"*/{data}"):
            shutil.rmtree(unwanted, ignore_errors=True)
    print(f"\nThe logs of the stacks are in {folder}")


def _has_room(memory: Path) -> bool:
    return memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES


def folder_of_run() -> Path:
    """The folder of this test run."""
    return Path(os.environ[FOLDER_VARIABLE])


def shared_stack(name: str, only: Collection[str] = PARTS, *, as_shipped: bool = False) -> RunningStack:
    """The stack of that name, started by whoever asks first."""
    run = folder_of_run() / name
    with FileLock(folder_of_run() / f"{name}.lock"):
        if not (run / "stack.json").exists():
            start_stack(run, only, as_shipped=as_shipped)
    return RunningStack(run)


def start_stack(
    run: Path,
    only: Collection[str] = PARTS,
    *,
    env: Settings | None = None,
    as_shipped: bool = False,
) -> RunningStack:
    """Start a stack in that folder and return when every part is ready; its databases are migrated already.

    Its processes are forked (`fork_server.py`), or started anew where it is to be `as_shipped`.
    """
    if "postgres" in only and not Layout(run).postgres.exists():
        _give_databases(run)
    return _launch(run, only, env or {}, as_shipped=as_shipped)


def _launch(run: Path, only: Collection[str], env: Settings, *, as_shipped: bool = False) -> RunningStack:
    run.mkdir(parents=True, exist_ok=True)
    said = run / "supervisor.log"
    command = python_module("devstack", "serve", "--run", str(run), "--only", ",".join(only))
    command += ["--fast", "--owner", os.environ[OWNER_VARIABLE]]
    for part, values in env.items():
        command += [word for name, value in values.items() for word in ("--set", f"{part}:{name}={value}")]
    with said.open("wb") as output:
        supervisor = (_start_anew if as_shipped else _fork)(command, output)
    _wait_until_ready(supervisor, run, set(only), said)
    return RunningStack(run)


def _start_anew(command: list[str], output: IO[bytes]) -> int:
    supervisor = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    supervisor.returncode = 0  # it outlives this object on purpose; `_stop` ends it by its id
    return supervisor.pid


def _fork(command: list[str], output: IO[bytes]) -> int:
    server = fork_server_of_run()
    env = {**os.environ, FORK_SERVER_VARIABLE: str(server)}
    pid, connection = fork_server.fork(server, Order(command[2:], env, str(ROOT), outlives=True), [output.fileno()])
    connection.close()
    return pid


def fork_server_of_run() -> Path:
    """Where it listens; started by whoever asks first, since not every run needs it."""
    server = folder_of_run() / "fork_server"
    with FileLock(server.with_suffix(".lock")):
        if not server.exists():
            fork_server.start(server, server.with_suffix(".log"), int(os.environ[OWNER_VARIABLE]))
    return server


def _give_databases(run: Path) -> None:
    """Copy the data of a PostgreSQL in which all services' databases are made and migrated, and its passwords."""
    template = Layout(folder_of_run() / "template")
    with FileLock(folder_of_run() / "template.lock"):
        if not template.run.exists():
            _make_template(template.run)
    own = Layout(run)
    own.prepare()
    subprocess.run(["cp", "-a", template.postgres, own.postgres], check=True)
    shutil.copytree(template.secrets, own.secrets, dirs_exist_ok=True)


def _make_template(run: Path) -> None:
    stack = _launch(run, ["postgres"], {})
    around = surroundings_of(stack)
    for service in SERVICES:
        url = around.postgres.url(role_of(service), role_of(service))
        upgrade(f"petpro_{service}", sqlalchemy_url(url, around.secrets.database_password(service)))
        migrated(around, service).put()
    _stop(stack.endpoints["supervisor"]["pid"])


def stop_stack(stack: RunningStack, *, keep_logs: bool = False) -> None:
    """Drain the stack and remove its folder, unless `close_folder` is to keep its logs."""
    _stop(stack.endpoints["supervisor"]["pid"])
    if not keep_logs:
        shutil.rmtree(stack.run, ignore_errors=True)


def _wait_until_ready(supervisor: int, run: Path, parts: set[str], said: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(run / "stack.json", supervisor, parts):
        if not is_running(supervisor) or time.monotonic() > deadline:
            _stop(supervisor)
            (run / "stack.json").unlink(missing_ok=True)
            raise StackDidNotStart(said.read_text(errors="replace"))
        time.sleep(0.05)


def _is_ready(description: Path, supervisor: int, parts: set[str]) -> bool:
    if not description.exists():
        return False
    said = json.loads(description.read_text())
    ready = {name for name, part in said["parts"].items() if part["state"] == "ready"}
    return said["supervisor"]["pid"] == supervisor and ready >= parts


def _stop(supervisor: int) -> None:
    if is_running(supervisor):
        os.kill(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_running(supervisor) and time.monotonic() < deadline:
        time.sleep(0.05)


def surroundings_of(stack: RunningStack) -> Surroundings:
    """Addresses and secrets of a running stack, with the means to make databases in it."""
    layout = Layout(stack.run)
    return surroundings(layout, Ports.of_running_stack(layout.ports), fast=True)


@dataclass(frozen=True)
class Database:
    """A fresh database of one service, with all its migrations done."""

    service: str
    name: str
    url: str
    """Without a password, as a service's settings want it."""
    password: str
    dsn: str
    """With the password of the service's role."""
    superuser_dsn: str


async def make_database(stack: RunningStack, service: str, name: str) -> Database:
    """Clone the migrated database of that service, which nobody uses in a stack of PostgreSQL alone."""
    around = surroundings_of(stack)
    await around.postgres.make_database(name, service, role_of(service))
    return database(around, service, name)


async def make_empty_database(stack: RunningStack, service: str, name: str) -> Database:
    """A database with the service's extensions and nothing else: for tests of migrations."""
    around = surroundings_of(stack)
    await around.postgres.make_database(name, service)
    return database(around, service, name)


def database(around: Surroundings, service: str, name: str) -> Database:
    """The ways to reach a database of that server."""
    return Database(
        service=service,
        name=name,
        url=around.postgres.url(f"petpro_{service}", name),
        password=around.secrets.database_password(service),
        dsn=around.postgres.service_url(service, name),
        superuser_dsn=around.postgres.superuser_url(name),
    )


@dataclass(frozen=True)
class Broker:
    """A NATS server for tests."""

    url: str
    """Without credentials."""
    operator_url: str
    """With every right."""
    service_urls: Mapping[str, str]
    """As each service connects, with that service's rights."""
    passwords: Mapping[str, str]


def broker(stack: RunningStack) -> Broker:
    """The NATS server of a running stack."""
    nats, secrets = surroundings_of(stack).nats, surroundings_of(stack).secrets
    return Broker(
        url=nats.url,
        operator_url=nats.operator_url,
        service_urls={service: nats.service_url(service) for service in SERVICES},
        passwords={service: secrets.nats_password(service) for service in SERVICES},
    )
