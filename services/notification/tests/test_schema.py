"""The migrated database is what the code believes it to be."""

import pytest
from psycopg import IntegrityError
from sqlalchemy import create_engine, inspect, text

from devstack.testing import MakeDatabase
from petpro_common.ids import new_id
from petpro_common.migrate import sqlalchemy_url
from petpro_notification.tables import metadata
from services.notification.tests.conftest import World, confirmed


async def test_every_table_has_the_columns_that_the_code_names(database: MakeDatabase) -> None:
    made = await database("notification")
    engine = create_engine(sqlalchemy_url(made.url, made.password))
    with engine.connect() as connection:
        seen = inspect(connection)
        found = {
            name: [(c["name"], str(c["type"].compile(engine.dialect)), c["nullable"]) for c in seen.get_columns(name)]
            for name in metadata.tables
        }
    engine.dispose()
    named = {
        name: [
            (c.name, str(c.type.compile(engine.dialect)).replace(" WITH TIME ZONE", ""), bool(c.nullable))
            for c in table.c
        ]
        for name, table in metadata.tables.items()
    }
    assert {name: [(c, t.replace(" WITH TIME ZONE", ""), n) for c, t, n in cs] for name, cs in found.items()} == named


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE notifications SET is_read = true",
        "UPDATE deliveries SET status = 'lost'",
        "UPDATE deliveries SET channel = 'pigeon'",
        "UPDATE deliveries SET status = 'sent'",
        "INSERT INTO deliveries (id, notification_id, channel) SELECT uuidv7(), id, 'email' FROM notifications",
        "INSERT INTO devices (id, user_id, kind, token) VALUES (uuidv7(), uuidv7(), 'web_push', 'https://push.example')",
        "INSERT INTO devices (id, user_id, kind, token) VALUES (uuidv7(), uuidv7(), 'pager', '4711')",
        "INSERT INTO devices (id, user_id, kind, token) VALUES (uuidv7(), uuidv7(), 'fcm', '')",
    ],
)
async def test_the_database_itself_refuses_what_cannot_be(world: World, statement: str) -> None:
    await world.tell("booking.confirmed", **confirmed(new_id(), new_id()))
    with pytest.raises(IntegrityError):
        async with world.database.transaction() as tx:
            await tx.execute(text(statement))
