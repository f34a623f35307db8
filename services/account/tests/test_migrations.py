"""The migrated database: made from nothing, as the tables say, and refusing what must not be in it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import errors, sql
from sqlalchemy import create_engine

from devstack.testing import MakeDatabase
from petpro_account.tables import METADATA
from petpro_common.migrate import sqlalchemy_url, upgrade

SARI: Mapping[str, Any] = {
    "email": "sari@petpro.example",
    "full_name": "Sari Dewi",
    "phone_number": "+628123456789",
    "password_hash": "$argon2id$",
}


async def insert(dsn: str, table: str, rows: list[Mapping[str, Any]]) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        for row in rows:
            statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(map(sql.Placeholder, row)),
            )
            await connection.execute(statement, row)


async def test_the_tables_are_what_the_migrations_make_of_an_empty_database(empty_database: MakeDatabase) -> None:
    made = await empty_database("account")
    url = sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(upgrade, "petpro_account", url)
    await asyncio.to_thread(upgrade, "petpro_account", url)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_name": _own}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def _own(name: str | None, kind: str, _: Mapping[str, Any]) -> bool:
    return kind != "table" or name in METADATA.tables


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "sari"},
        {"email": "sari@@petpro.example"},
        {"email": "sari @petpro.example"},
        {"email": "cafe\u0301@petpro.example"},
        {"full_name": "  "},
        {"phone_number": "08123456789"},
        {"role": "owner"},
        {"account_status": "gone"},
        {"verification_status": "maybe"},
        {"notification_prefs": "[]"},
    ],
    ids=str,
)
async def test_the_database_refuses_what_is_no_user(database: MakeDatabase, fields: Mapping[str, Any]) -> None:
    made = await database("account")
    with pytest.raises(errors.CheckViolation):
        await insert(made.dsn, "users", [{**SARI, **fields}])


async def test_the_database_takes_addresses_that_the_domain_document_would_refuse(database: MakeDatabase) -> None:
    made = await database("account")
    addresses = ["sari+kucing@petpro.example", "o'neil@petpro.example", "用户@例子.广告", "sari@petpro.x-1"]
    await insert(made.dsn, "users", [{**SARI, "email": address} for address in addresses])


async def test_the_database_refuses_another_spelling_of_an_address(database: MakeDatabase) -> None:
    made = await database("account")
    with pytest.raises(errors.UniqueViolation):
        await insert(made.dsn, "users", [SARI, {**SARI, "email": "SARI@petpro.example"}])


@pytest.mark.parametrize("fields", [{"weight": 0}, {"weight": -1}, {"gender": "cat"}], ids=str)
async def test_the_database_refuses_what_is_no_pet(database: MakeDatabase, fields: Mapping[str, Any]) -> None:
    made = await database("account")
    owner = "0190a0a0-0000-7000-8000-000000000001"
    await insert(made.dsn, "users", [{**SARI, "id": owner}])
    with pytest.raises(errors.CheckViolation):
        await insert(made.dsn, "pets", [{"user_id": owner, "name": "Miko", "species": "cat", **fields}])
