"""Planting what must not be, past everything that the databases guard, and taking it away again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import sql

from devstack.running import RunningStack
from tests.audit.corruptions import Corruption

LEDGER_TABLES = ("financial_entries", "settlements", "journal_transactions", "journal_lines")
CHECKED_TABLES = ("slots", "reservations", "bookings", "payments", "refunds", *LEDGER_TABLES)


@asynccontextmanager
async def planted(stack: RunningStack, one: Corruption, made: dict[str, str]) -> AsyncIterator[None]:
    """The corruption, past every trigger and foreign key; the table is put back afterwards."""
    table, superuser = sql.Identifier(one.table), _superuser(stack, one.service)
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(sql.SQL("CREATE TEMP TABLE saved AS TABLE {}").format(table))
        await connection.execute(one.plant.encode(), made)
        yield
        await connection.execute(sql.SQL("DELETE FROM {}").format(table))
        columns = sql.SQL(", ").join(map(sql.Identifier, await _written_columns(connection, one.table)))
        again = "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM saved"
        await connection.execute(sql.SQL(again).format(table, columns, columns))


async def _written_columns(connection: psycopg.AsyncConnection, table: str) -> list[str]:
    """All but those that the database makes of others."""
    found = await connection.execute(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = CAST(%s AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        [table],
    )
    return [name for (name,) in await found.fetchall()]


def drop_checks(stack: RunningStack) -> None:
    """What the databases themselves refuse is to be found too, should they ever have let it in."""
    for service in ("booking", "payment", "notification"):
        with psycopg.connect(_superuser(stack, service), autocommit=True) as connection:
            checks = connection.execute(
                "SELECT conrelid::regclass::text, conname FROM pg_constraint"
                " WHERE contype = 'c' AND coninhcount = 0 AND conrelid::regclass::text = ANY(%s)",
                [[*CHECKED_TABLES, "deliveries"]],
            ).fetchall()
            for table, name in checks:
                drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
                connection.execute(drop.format(sql.Identifier(table), sql.Identifier(name)))


def _superuser(stack: RunningStack, service: str) -> str:
    url: str = stack.endpoints["postgres"]["dsn"]
    return url.removesuffix("/postgres") + f"/petpro_{service}"
