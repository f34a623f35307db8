"""The database's password is changed while a service runs: new connections are made by the one that is good now."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database
from petpro_common.pool import NotConnected


@dataclass
class Role:
    """A role of its own at the server, and the file that tells a service its password."""

    superuser_dsn: str
    name: str = field(default_factory=lambda: f"kennel_{uuid4().hex}")
    told: str = "a bone"

    async def run(self, statement: str) -> None:
        """Runs a statement about the role as superuser."""
        async with await psycopg.AsyncConnection.connect(self.superuser_dsn, autocommit=True) as connection:
            await connection.execute(sql.SQL(statement).format(role=sql.Identifier(self.name)))

    async def change(self, password: str) -> None:
        """Changes the password at the server."""
        await self.run(f"ALTER ROLE {{role}} PASSWORD '{password}'")


@pytest.fixture
async def role(empty_database: testing.MakeDatabase) -> AsyncIterator[Role]:
    made = Role((await empty_database("booking")).superuser_dsn)
    await made.run("CREATE ROLE {role} LOGIN PASSWORD 'a bone'")
    await made.run("GRANT petpro_booking TO {role}")  # who may connect to its database
    yield made
    await made.run("DROP OWNED BY {role}")
    await made.run("DROP ROLE {role}")


@pytest.fixture
async def database(role: Role) -> AsyncIterator[Database]:
    opened = Database(make_conninfo(role.superuser_dsn, user=role.name, password=None), lambda: role.told)
    yield opened
    await opened.close()


async def asked(database: Database) -> int:
    """What the server answers on a connection that is made for it."""
    async with database.session() as session:
        return int((await session.execute(text("SELECT 1"))).scalar_one())


async def test_a_password_that_was_changed_everywhere_needs_no_restart(role: Role, database: Database) -> None:
    await asked(database)
    await role.change("a stick")
    role.told = "a stick"
    assert await asked(database) == 1
    async with database.reading() as tx:
        assert (await tx.execute(text("SELECT 1"))).scalar_one() == 1


async def test_one_that_the_server_has_not_yet_does_no_harm(role: Role, database: Database) -> None:
    await asked(database)
    role.told = "a stick"
    assert await asked(database) == 1
    await role.change("a stick")
    assert await asked(database) == 1


async def test_one_that_nobody_was_told_is_refused_until_it_is_told(role: Role, database: Database) -> None:
    await asked(database)
    await role.change("a stick")
    with pytest.raises(NotConnected):
        await asked(database)
    role.told = "a stick"
    assert await asked(database) == 1
