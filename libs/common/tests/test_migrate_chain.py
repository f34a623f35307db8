"""A chain of migrations, each in a transaction of its own: what is done stays done, and the next goes on there."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from devstack import testing
from petpro_common import migrate as migrations
from petpro_common.migrate import sqlalchemy_url, upgrade
from petpro_common.testing import eventually

VERSION = '''
from alembic import op
revision, down_revision = {revision!r}, {before!r}
def upgrade():
    op.execute("""{first}""")
    op.execute("""INSERT INTO ran VALUES ({revision!r}, current_setting('lock_timeout'),
                  current_setting('enable_seqscan'), pg_current_xact_id(), pg_backend_pid())""")
    op.execute("""{then}""")
'''
SETTINGS = """
from typing import ClassVar
from petpro_common.settings import ServiceSettings

class Settings(ServiceSettings):
    service: ClassVar[str] = "kennel"
"""
NOT_ASKED = (
    "GRPC_ADDRESS",
    "METRICS_ADDRESS",
    "NATS_URL",
    "NATS_PASSWORD",
    "ACCOUNT_ADDRESS",
    "SERVICE_JWKS_FILE",
    "SERVICE_KEY",
)
RAN = "CREATE TABLE ran (version text, lock_timeout text, seq_scan text, in_turn xid8, by integer)"
HURRIED = "SET LOCAL lock_timeout = '300ms'; {}"
CHAIN = {
    "0001": (RAN, "SELECT pg_sleep(0.2)"),
    "0002": ("SELECT 1", HURRIED.format("CREATE TABLE hurried AS SELECT current_setting('lock_timeout') AS waits")),
    "0003": ("SELECT 1", HURRIED.format("ALTER TABLE kennels ADD COLUMN owner text")),
    "0004": ("SELECT 1", "ALTER TABLE dogs ADD COLUMN breed text"),
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A service's package with these migrations. The last two are about tables that somebody else may have in hand."""
    name = f"kennel_{uuid4().hex}"
    versions = tmp_path / name / "migrations/versions"
    versions.mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "settings.py").write_text(SETTINGS)
    (versions.parent / "env.py").write_text("from petpro_common.migrate import run_env\nrun_env()\n")
    before = None
    for revision, (first, then) in CHAIN.items():
        text = VERSION.format(revision=revision, before=before, first=first, then=then)
        (versions / f"{revision}_next.py").write_text(text)
        before = revision
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return name


@pytest.fixture
async def made(empty_database: testing.MakeDatabase) -> testing.Database:
    made = await empty_database("notification")
    async with await connected(made) as connection:
        await connection.execute("CREATE TABLE kennels (name text); CREATE TABLE dogs (name text)")
    return made


async def connected(made: testing.Database) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(made.url, password=made.password)


async def migrate(made: testing.Database, package: str) -> None:
    """As a process of its own would, which comes and goes with its connection."""
    await asyncio.to_thread(upgrade, package, sqlalchemy_url(made.url, made.password))


async def column(made: testing.Database, statement: str) -> list[Any]:
    async with await connected(made) as connection:
        return [value for (value,) in await (await connection.execute(statement)).fetchall()]


async def test_one_that_fails_leaves_those_before_it_done_and_the_next_start_goes_on_with_it(
    made: testing.Database, package: str
) -> None:
    async with await connected(made) as busy:
        await busy.execute("LOCK TABLE kennels IN SHARE MODE")
        for _ in range(2):
            with pytest.raises(OperationalError) as failed:
                await migrate(made, package)
            assert isinstance(failed.value.orig, LockNotAvailable)
            assert await column(made, "SELECT version_num FROM alembic_version") == ["0002"]
            assert await column(made, "SELECT version FROM ran ORDER BY version") == ["0001", "0002"]
    await migrate(made, package)
    assert await column(made, "SELECT version_num FROM alembic_version") == ["0004"]
    assert await column(made, "SELECT version FROM ran ORDER BY version") == list(CHAIN)
    assert len(await column(made, "SELECT DISTINCT in_turn FROM ran")) == len(CHAIN)


async def test_the_last_line_of_the_log_names_the_kind_of_fault_and_where_it_arose(
    made: testing.Database, package: str, tmp_path: Path
) -> None:
    """And no statement: it may quote a row."""
    told = {"DATABASE_URL": made.url, "DATABASE_PASSWORD": made.password, **dict.fromkeys(NOT_ASKED, "none")}
    environment = {f"PETPRO_KENNEL_{name}": value for name, value in told.items()}
    async with await connected(made) as busy:
        await busy.execute("LOCK TABLE kennels IN SHARE MODE")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "petpro_common.migrate", package),
            env=os.environ | environment | {"PYTHONPATH": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    lines = [json.loads(line) for line in output.splitlines()]
    (_, cause) = lines[-1]["exception"]
    assert cause["kind"] == "psycopg.errors.LockNotAvailable"
    assert any(frame.startswith("versions/0003_next.py:") for frame in lines[-1]["exception"][0]["frames"])
    assert b"ALTER TABLE" not in output


async def test_while_one_migrates_others_wait_until_all_is_done(made: testing.Database, package: str) -> None:
    await asyncio.gather(*(migrate(made, package) for _ in range(4)))
    assert await column(made, "SELECT version FROM ran ORDER BY in_turn") == list(CHAIN)
    assert len(await column(made, "SELECT DISTINCT by FROM ran")) == 1


async def test_the_lock_goes_with_who_has_failed(made: testing.Database, package: str) -> None:
    async with await connected(made) as busy:
        await busy.execute("LOCK TABLE kennels IN SHARE MODE")
        with pytest.raises(OperationalError):
            await migrate(made, package)
    held_here = """
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE datname = current_database() AND locktype = 'advisory'
    """

    async def is_gone() -> bool:
        async with await connected(made) as connection:
            return (await connection.execute(held_here)).rowcount == 0

    await eventually(is_gone)


async def test_each_waits_for_locks_as_it_says_and_is_planned_as_the_server_was_made(
    made: testing.Database, package: str
) -> None:
    """The one before it has no say, and what poolers were given counts in none of them."""
    async with await connected(made) as connection:
        for setting in ("lock_timeout = '5s'", "enable_seqscan = 'off'"):
            await connection.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {made.name} SET {setting}")
    await migrate(made, package)
    assert await column(made, "SELECT DISTINCT lock_timeout FROM ran") == ["3s"]
    assert await column(made, "SELECT waits FROM hurried") == ["300ms"]
    assert await column(made, "SELECT DISTINCT seq_scan FROM ran") == ["on"]


async def test_it_waits_as_long_as_another_migrates(
    made: testing.Database, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a version locks is waited for so short."""
    monkeypatch.setattr(migrations, "_LOCK_TIMEOUT", "50ms")
    async with await connected(made) as other:
        await other.execute("SELECT pg_advisory_lock(%s)", [migrations._ADVISORY_LOCK])
        waits = asyncio.create_task(migrate(made, package))
        await asyncio.sleep(1)
        assert not waits.done()
    await waits
    assert await column(made, "SELECT version_num FROM alembic_version") == ["0004"]


async def test_one_that_says_nothing_of_locks_gives_up_too(
    made: testing.Database, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_TIMEOUT", "200ms")
    async with await connected(made) as busy:
        await busy.execute("SELECT count(*) FROM dogs")
        with pytest.raises(OperationalError) as failed:
            await asyncio.wait_for(migrate(made, package), 10)
        assert isinstance(failed.value.orig, LockNotAvailable)
        assert await column(made, "SELECT version_num FROM alembic_version") == ["0003"]
    await migrate(made, package)
    assert await column(made, "SELECT version_num FROM alembic_version") == ["0004"]
