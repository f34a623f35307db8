"""While somebody has a table in hand for long, a migration of it gives up, and calls go on: they queue behind it no
longer than they wait for a lock."""

import asyncio
from threading import Thread

import psycopg
import pytest
from alembic import command
from psycopg.errors import LockNotAvailable
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from devstack.testing import MakeDatabase
from petpro_common.migrate import config_of, sqlalchemy_url, upgrade

_CALLS_WAIT = "5s"  # as those of services do, petpro_common.db
_WAITING = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted"


def brought_to(package: str, url: URL, version: str) -> None:
    config = config_of(package)
    with create_engine(url, poolclass=NullPool).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


class Migration(Thread):
    """Migrates as a Job does; `fault` is what became of it."""

    def __init__(self, package: str, url: URL) -> None:
        super().__init__(daemon=True)
        self._package, self._url = package, url
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            upgrade(self._package, self._url)
        except OperationalError as fault:
            self.fault = fault.orig


@pytest.mark.parametrize(
    ("service", "before", "table", "call"),
    [
        ("account", "0010", "users", "UPDATE users SET last_login_at = now()"),
        ("catalog", "0008", "staff", "SELECT count(*) FROM staff"),
        ("booking", "0017", "clinic_booking_summary", "SELECT count(*) FROM clinic_booking_summary"),
    ],
)
async def test_calls_go_on_behind_a_migration_that_waits(
    empty_database: MakeDatabase, service: str, before: str, table: str, call: str
) -> None:
    made = await empty_database(service)
    package, url = f"petpro_{service}", sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(brought_to, package, url, before)
    with psycopg.connect(made.dsn) as slow, psycopg.connect(made.dsn, autocommit=True) as caller:
        slow.execute(call)
        migration = Migration(package, url)
        migration.start()
        while caller.execute(_WAITING, [table]).fetchone() != (1,):
            await asyncio.sleep(0.02)
        caller.execute(f"SET lock_timeout = '{_CALLS_WAIT}'")
        caller.execute(call)
        await asyncio.to_thread(migration.join, 10)
        assert isinstance(migration.fault, LockNotAvailable)
        assert caller.execute("SELECT version_num FROM alembic_version").fetchone() == (before,)
        slow.rollback()
        await asyncio.to_thread(upgrade, package, url)
