"""A service is ready for its database when that has what the code needs, and also when it has more."""

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from devstack import testing
from devstack.layout import SERVICES
from petpro_common.db import Database
from petpro_common.migrate import UnsuitableDatabase, config_of, sqlalchemy_url, upgrade
from petpro_common.versions import is_migrated, versions_of


async def _is_ready(database: Database) -> bool:
    async with database.reading() as tx:
        return await is_migrated(tx, "petpro_notification")


@pytest.mark.parametrize("version", [versions_of("petpro_notification")[-1], "9999"])
async def test_its_own_version_and_later_ones_will_do(database: testing.MakeDatabase, version: str) -> None:
    made = await database("notification")
    connected = Database(made.url, made.password)
    async with connected.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    assert await _is_ready(connected)
    await connected.close()


async def test_an_earlier_version_will_not(database: testing.MakeDatabase) -> None:
    made = await database("notification")
    connected = Database(made.url, made.password)
    async with connected.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    is_ready = await _is_ready(connected)
    await connected.close()
    assert not is_ready


async def test_a_database_that_was_never_migrated_will_not(empty_database: testing.MakeDatabase) -> None:
    made = await empty_database("notification")
    connected = Database(made.url, made.password)
    assert not await _is_ready(connected)
    await connected.close()


async def test_a_database_that_knows_the_letters_of_ascii_alone_is_refused(
    empty_database: testing.MakeDatabase,
) -> None:
    made = await empty_database("notification")
    elsewhere = made.superuser_dsn.replace(made.name, "postgres")
    async with await psycopg.AsyncConnection.connect(elsewhere, autocommit=True) as connection:
        await connection.execute(f"DROP DATABASE {made.name}")
        await connection.execute(
            f"CREATE DATABASE {made.name} OWNER petpro_notification TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc"
        )
    with pytest.raises(UnsuitableDatabase, match="letters of ASCII alone"):
        upgrade("petpro_notification", sqlalchemy_url(made.url, made.password))


async def test_a_lock_does_not_outlive_for_long_the_machine_of_who_migrates(
    empty_database: testing.MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []

    def look(config: Config, _: str) -> None:
        kept.append(config.attributes["connection"].execute(text("SHOW tcp_user_timeout")).scalar())

    monkeypatch.setattr(command, "upgrade", look)
    made = await empty_database("notification")
    upgrade("petpro_notification", sqlalchemy_url(made.url, made.password))
    assert kept == ["25000"]


@pytest.mark.unit
@pytest.mark.parametrize("service", SERVICES)
def test_the_files_names_tell_the_versions_in_the_order_in_which_they_are_applied(service: str) -> None:
    package = f"petpro_{service}"
    scripts = ScriptDirectory.from_config(config_of(package)).walk_revisions()
    assert versions_of(package) == tuple(reversed([script.revision for script in scripts]))
