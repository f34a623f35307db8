"""The migrated database is what `tables.py` says, and nothing that was asked twice is there twice."""

import asyncio
import contextlib

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.types.json import Jsonb
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from devstack.testing import MakeDatabase
from petpro_common.migrate import config_of, sqlalchemy_url, upgrade
from petpro_payment.tables import metadata


async def test_the_migrated_database_has_exactly_the_columns_of_the_tables(database: MakeDatabase) -> None:
    made = await database("payment")
    engine = create_engine(sqlalchemy_url(made.url, made.password))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    messages = {"outbox", "inbox", "parked_messages", "message_redrives", "broker_memory"}
    shared = {*messages, "idempotency_keys", "erased_users", "alembic_version"}
    of_columns = [
        difference
        for difference in differences
        if not (isinstance(difference, tuple) and str(difference[0]).endswith(("_index", "_constraint", "_fk")))
        and not (isinstance(difference, tuple) and difference[0] == "remove_table" and difference[1].name in shared)
    ]
    assert of_columns == []


async def test_what_customers_were_shown_is_taken_out_of_what_was_kept_for_ever(empty_database: MakeDatabase) -> None:
    made = await empty_database("payment")
    url = sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(_upgrade_to, url, "0012")
    whole = {"object": {"id": "pi_2", "status": "requires_action", "next_action": {"qr_string": "a QR"}}}
    async with await psycopg.AsyncConnection.connect(made.dsn, autocommit=True) as connection:
        await _keep(connection, {"external_reference": "pi_1", "customer_action": "a secret"})
        await _keep(connection, {"data": whole})
        await _keep(connection, {"id": "pi_3"})
        await asyncio.to_thread(upgrade, "petpro_payment", url)
        await _keep(connection, {"external_reference": "pi_4", "customer_action": "told by the version before"})
        kept = await (await connection.execute("SELECT payload FROM provider_events ORDER BY received_at")).fetchall()
        with pytest.raises(psycopg.IntegrityError, match="kept as it was"):
            await connection.execute("UPDATE provider_events SET payload = '{}'")
    assert [payload for (payload,) in kept] == [
        {"external_reference": "pi_1"},
        {"data": {"object": {"id": "pi_2", "status": "requires_action"}}},
        {"id": "pi_3"},
        {"external_reference": "pi_4"},
    ]


async def test_the_version_before_writes_on_while_words_are_allowed_to_go(empty_database: MakeDatabase) -> None:
    made = await empty_database("payment")
    url = sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(_upgrade_to, url, "0013")
    async with await psycopg.AsyncConnection.connect(made.dsn) as before, asyncio.TaskGroup() as side_by_side:
        await before.execute("UPDATE refunds SET due_at = NULL")
        migration = side_by_side.create_task(asyncio.to_thread(_upgrade_to, url, "0014"))
        await asyncio.wait([migration], timeout=1)
        await before.execute("UPDATE payments SET due_at = NULL")
        await before.commit()


async def test_a_version_that_is_two_behind_writes_on_and_the_migration_is_tried_again(
    empty_database: MakeDatabase,
) -> None:
    made = await empty_database("payment")
    url = sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(_upgrade_to, url, "0013")
    async with await psycopg.AsyncConnection.connect(made.dsn) as before:
        await before.execute("UPDATE refunds SET due_at = NULL")
        migration = asyncio.create_task(asyncio.to_thread(upgrade, "petpro_payment", url))
        await asyncio.wait([migration], timeout=0.3)
        await before.execute("UPDATE payments SET due_at = NULL")
        await before.commit()
        with contextlib.suppress(OperationalError):
            await migration
    await asyncio.to_thread(upgrade, "petpro_payment", url)


def _upgrade_to(url: URL, version: str) -> None:
    engine, config = create_engine(url), config_of("petpro_payment")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


async def _keep(connection: psycopg.AsyncConnection, payload: dict[str, object]) -> None:
    await connection.execute(
        """INSERT INTO provider_events (provider, event_id, type, reference, disposition, payload)
           VALUES ('played', uuidv7()::text, 'Processing', 'ours', 'applied', %s)""",
        [Jsonb(payload)],
    )
