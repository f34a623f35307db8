"""One database and one role per service, and no way across."""

import psycopg
import pytest

from devstack.layout import SERVICES
from devstack.postgres import EXTENSIONS
from devstack.running import RunningStack
from devstack.testing import MakeDatabase, surroundings_of
from petpro_common.testing import eventually

# Extensions of which a table or an index uses a type, a function or a class of operators, and those which these need.
_USED = """
    WITH RECURSIVE
    members AS (
        SELECT classid, objid, refobjid AS extension FROM pg_depend
        WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    ),
    used AS (
        SELECT extension FROM members JOIN pg_depend ON (refclassid, refobjid) = (members.classid, members.objid)
        WHERE pg_depend.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass)
        UNION
        SELECT refobjid FROM used JOIN pg_depend ON (classid, objid) = ('pg_extension'::regclass, used.extension)
        WHERE refclassid = 'pg_extension'::regclass AND deptype = 'n'
    )
    SELECT extname FROM pg_extension JOIN used ON oid = used.extension
"""
PAIRS = [(visitor, owner) for visitor in SERVICES for owner in SERVICES if visitor != owner]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_owns_its_database(postgres_server: RunningStack, service: str) -> None:
    async with await psycopg.AsyncConnection.connect(
        surroundings_of(postgres_server).postgres.service_url(service)
    ) as connection:
        await connection.execute("CREATE TABLE kept (id uuid DEFAULT uuidv7() PRIMARY KEY)")
        await connection.rollback()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_database_has_the_extensions_that_its_migrations_use(database: MakeDatabase, service: str) -> None:
    made = await database(service)
    async with await psycopg.AsyncConnection.connect(made.dsn) as connection:
        cursor = await connection.execute(_USED)
        assert {row[0] for row in await cursor.fetchall()} == set(EXTENSIONS[service])


@pytest.mark.parametrize(("visitor", "owner"), PAIRS)
async def test_a_service_cannot_connect_to_anothers_database(
    postgres_server: RunningStack, visitor: str, owner: str
) -> None:
    url = surroundings_of(postgres_server).postgres.service_url(visitor, f"petpro_{owner}")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        await psycopg.AsyncConnection.connect(url)


@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_a_service_cannot_connect_to_the_servers_own_databases(
    postgres_server: RunningStack, database: str
) -> None:
    url = surroundings_of(postgres_server).postgres.service_url("booking", database)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        await psycopg.AsyncConnection.connect(url)


async def test_a_wrong_password_is_refused(postgres_server: RunningStack) -> None:
    url = surroundings_of(postgres_server).postgres.url("petpro_booking", "petpro_booking", "guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await psycopg.AsyncConnection.connect(url)


async def test_a_slow_statement_is_logged_without_what_it_was_given(postgres_server: RunningStack) -> None:
    around = surroundings_of(postgres_server)
    async with await psycopg.AsyncConnection.connect(
        around.postgres.superuser_url(), options="-c log_min_duration_statement=0"
    ) as connection:
        await connection.execute("SELECT 'slow', length(%s)", ["hash-of-dewis-password"])

    def log() -> str:
        return around.layout.log("postgres").read_text()

    await eventually(lambda: "SELECT 'slow', length($1)" in log())
    assert "hash-of-dewis-password" not in log()


async def test_each_test_has_a_database_of_its_own(empty_database: MakeDatabase) -> None:
    first, second = await empty_database("catalog"), await empty_database("catalog")
    async with await psycopg.AsyncConnection.connect(first.dsn) as connection:
        await connection.execute("CREATE TABLE only_in_the_first ()")
    async with await psycopg.AsyncConnection.connect(second.dsn) as connection:
        cursor = await connection.execute("SELECT to_regclass('only_in_the_first')")
        assert await cursor.fetchone() == (None,)
