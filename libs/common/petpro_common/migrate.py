"""Migrations: `python -m petpro_common.migrate petpro_booking` brings a service's database to its newest version.

Each service has its own chain of versions in `<package>/migrations/versions`, one file a version and named by it.

Each version is a transaction of its own, together with the number that says that it is done. One that fails (as where a
table is locked for longer than it waits) ends the process with an error: those before it stay, and the next start goes
on with it. So none has the locks or the settings (`SET LOCAL`) of another.

None waits for a lock for longer than three seconds, for calls queue behind who waits. A version may set less, or more
where nobody queues behind it: CREATE INDEX CONCURRENTLY waits for whoever was there before.

One advisory lock is held for the whole chain, by the very connection on which it runs, and lets several replicas ask at
once: one migrates, the others wait and find nothing left to do. It goes with that connection; where the machine of the
one vanishes, within half a minute.
"""

import asyncio
import importlib
import sys

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from petpro_common import logs
from petpro_common.db import PEER_MAY_VANISH, SERVER_MAY_VANISH, Database
from petpro_common.faults import OwnWords
from petpro_common.settings import ServiceSettings
from petpro_common.versions import migrations_of

_KNOWS_LETTERS = text("SELECT lower('\u00c9\u042f') = '\u00e9\u044f'")
_ADVISORY_LOCK = 0x50455450524F  # "PETPRO"; the lock is per database, so one number serves all services
_LOCK_TIMEOUT = "3s"  # less than the five after which calls, which queue behind it, give up

# What `keep_for_poolers` has kept is for short statements that find few rows by their keys; a migration is neither.
_AS_THE_SERVER_WAS_MADE = text("""
    SELECT set_config(name, boot_val, false) FROM pg_settings WHERE source = 'database user' AND name <> 'TimeZone'
""")
_KEEP_WHAT_WAS_ASKED = text("""
    DO $$
    DECLARE asked record;
    BEGIN
        FOR asked IN SELECT name, setting FROM pg_settings
            WHERE source = 'client' AND name NOT IN ('application_name', 'client_encoding')
        LOOP
            EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET %I = %L',
                current_database(), asked.name, asked.setting);
        END LOOP;
    END $$
""")


class UnsuitableDatabase(OwnWords):
    """The database knows small and capital letters of ASCII alone; make it with the locale builtin C.UTF-8."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def config_of(package: str) -> Config:
    """Alembic's configuration for a service's package."""
    config = Config()
    config.set_main_option("script_location", str(migrations_of(package)))
    return config


def sqlalchemy_url(database_url: str, password: str) -> URL:
    """A plain postgresql:// URL as SQLAlchemy wants it, for psycopg, with the password put in."""
    return make_url(database_url).set(drivername="postgresql+psycopg", password=password)


def upgrade(package: str, url: URL) -> None:
    """Brings the database at `url` to the newest version of `package`; nothing is done when it is there.

    What a version raises is raised, and those before it are done. Raises UnsuitableDatabase, as two spellings of one
    address would be two accounts there."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"options": PEER_MAY_VANISH, **SERVER_MAY_VANISH})
    config = config_of(package)
    with engine.connect() as connection:
        with connection.begin():
            if not connection.execute(_KNOWS_LETTERS).scalar_one():
                raise UnsuitableDatabase
            connection.execute(_AS_THE_SERVER_WAS_MADE)
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            connection.execute(text("SELECT set_config('lock_timeout', :most, false)"), {"most": _LOCK_TIMEOUT})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


async def keep_for_poolers(database_url: str, password: str, plans_by_key: bool) -> None:
    """Makes what a service asks of each session at its start the role's own defaults: a pooler drops what is asked."""
    database = Database(database_url, password, 1, plans_by_key)
    async with database.session() as session:
        await session.execute(_KEEP_WHAT_WAS_ASKED)
    await database.close()


def run_env() -> None:
    """What every service's `migrations/env.py` calls: runs the versions on the connection that holds the lock."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def main(package: str) -> None:
    """Migrates with the settings of the service that `package` is; a fault ends the process with an error."""
    settings_module = importlib.import_module(f"{package}.settings")
    settings: ServiceSettings = settings_module.Settings.load()
    logs.configure(settings.service, settings.log_level)
    server, password = settings.database_session_url, settings.database_password.get_secret_value()
    upgrade(package, sqlalchemy_url(server or settings.database_url, password))
    if server:
        asyncio.run(keep_for_poolers(server, password, settings.plans_by_key))


if __name__ == "__main__":
    main(sys.argv[1])
