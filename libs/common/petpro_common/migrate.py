"""Migrations: `python -m petpro_common.migrate petpro_booking` brings a service's database to its newest version.

Each service has its own chain of versions in `<package>/migrations/versions`, one file a version and named by it. An
advisory lock lets several replicas ask at once: one migrates, the others wait and find nothing left to do.
"""

import importlib
import sys

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url

from petpro_common.settings import ServiceSettings
from petpro_common.versions import migrations_of

_ADVISORY_LOCK = 0x50455450524F  # "PETPRO"; the lock is per database, so one number serves all services


def config_of(package: str) -> Config:
    """Alembic's configuration for a service's package."""
    config = Config()
    config.set_main_option("script_location", str(migrations_of(package)))
    return config


def sqlalchemy_url(database_url: str, password: str) -> URL:
    """A plain postgresql:// URL as SQLAlchemy wants it, for psycopg, with the password put in."""
    return make_url(database_url).set(drivername="postgresql+psycopg", password=password)


def upgrade(package: str, url: URL) -> None:
    """Brings the database at `url` to the newest version of `package`; nothing is done when it is there."""
    engine = create_engine(url)
    config = config_of(package)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def run_env() -> None:
    """What every service's `migrations/env.py` calls: runs the versions on the connection that holds the lock."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True)
    context.run_migrations()


def main(package: str) -> None:
    """Migrates with the settings of the service that `package` is."""
    settings_module = importlib.import_module(f"{package}.settings")
    settings: ServiceSettings = settings_module.Settings.load()
    upgrade(package, sqlalchemy_url(settings.database_url, settings.database_password.get_secret_value()))


if __name__ == "__main__":
    main(sys.argv[1])
