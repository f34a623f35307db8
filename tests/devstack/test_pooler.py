"""Every service behind PgBouncer that hands out connections by the transaction, as in production."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from devstack.layout import SERVICES
from devstack.ports import Ports
from devstack.postgres import role_of
from devstack.running import RunningStack
from devstack.testing import StartStack, surroundings_of
from petpro_catalog.settings import Settings as CatalogSettings
from petpro_common.migrate import keep_for_poolers
from tests import invariants
from tests.waiting import eventually
from tests.world import World, open_world

PGBOUNCER = shutil.which("pgbouncer")
SERVER_CONNECTIONS = 4
"""Of each service, and less than its pool has: transactions really share them."""

PAST_IT = 3
"""The relay's two, and in booking that of who looks for slots to move."""

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_prepared_statements = 1000
ignore_startup_parameters = extra_float_digits,options
"""


def _is_new_enough() -> bool:
    """Whether there is one that keeps prepared statements, as those since 1.21 do."""
    if PGBOUNCER is None:
        return False
    said = subprocess.run([PGBOUNCER, "--version"], capture_output=True, text=True, check=True).stdout
    return [int(part) for part in said.split()[1].split(".")[:2]] >= [1, 21]


pytestmark = pytest.mark.skipif(not _is_new_enough(), reason="PgBouncer 1.21 or newer is not installed")


@pytest.fixture(scope="module")
def started(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack()


@dataclass(frozen=True)
class Pooler:
    """PgBouncer, and where it says who came."""

    port: int
    log: Path


@pytest.fixture(scope="module")
def pooler(started: RunningStack) -> Iterator[Pooler]:
    assert PGBOUNCER
    around = surroundings_of(started)
    folder = Path(mkdtemp(prefix="petpro-pooler-"))
    folder.chmod(0o755)  # it will not run as root, so somebody else reads it
    port = Ports.for_new_stack(folder / "ports.json").of("pooler")
    server = around.ports.of("postgres")
    users = [f'"{role_of(each)}" "{around.secrets.database_password(each)}"\n' for each in SERVICES]
    (folder / "users").write_text("".join(users))
    (folder / "pgbouncer.ini").write_text(
        CONFIGURATION.format(server=server, port=port, folder=folder, size=SERVER_CONNECTIONS)
    )
    with (folder / "log").open("w") as log:
        command = [PGBOUNCER, *(["-u", "nobody"] if os.getuid() == 0 else []), str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield Pooler(port, folder / "log")
        finally:
            process.kill()
            process.wait()
    shutil.rmtree(folder)


@pytest.fixture
async def world(started: RunningStack, pooler: Pooler) -> AsyncIterator[World]:
    around = surroundings_of(started)
    for service in SERVICES:
        server, name = around.postgres.url(role_of(service), role_of(service)), f"PETPRO_{service.upper()}"
        by_key = CatalogSettings.model_fields["plans_by_key"].default if service == "catalog" else True
        await keep_for_poolers(server, around.secrets.database_password(service), by_key)
        pooled = server.replace(f":{around.ports.of('postgres')}/", f":{pooler.port}/")
        told = [f"{name}_DATABASE_URL={pooled}", f"{name}_DATABASE_SESSION_URL={server}"]
        await started.stop_part(service)
        await started.start_part(service, ["env", *told, sys.executable, "-m", f"petpro_{service}"])
    async with open_world(started) as opened:
        yield opened


async def test_bookings_and_cancellations_go_as_without_a_pooler(world: World) -> None:
    clinic = await world.clinic()
    guests = await asyncio.gather(*(world.customer() for _ in range(6)))
    booked = await asyncio.gather(*(world.book(guest, clinic.slot(n)) for n, guest in enumerate(guests)))
    for guest, booking in zip(guests[:3], booked, strict=False):
        await world.cancel(guest.api, booking["id"])

    async def cancelled() -> bool:
        seen = [await world.booking(guest.api, booking["id"]) for guest, booking in zip(guests, booked, strict=True)]
        return sorted(each["status"] for each in seen[:3]) == ["BOOKING_STATUS_CANCELLED"] * 3

    await eventually("the cancellations", cancelled)
    await invariants.hold(world)


async def test_services_come_to_the_pooler_and_share_few_connections(world: World, pooler: Pooler) -> None:
    came = pooler.log.read_text()
    used = "SELECT count(*) AS n FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"
    for service in SERVICES:
        assert f"login attempt: db={role_of(service)}" in came
        rows = await world.rows(service, used)
        assert rows[0]["n"] <= SERVER_CONNECTIONS + PAST_IT, service
