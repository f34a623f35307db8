"""The migrated database is what `tables.py` says, and nothing that was asked twice is there twice."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from devstack.testing import MakeDatabase
from petpro_common.migrate import sqlalchemy_url
from petpro_payment.tables import metadata


async def test_the_migrated_database_has_exactly_the_columns_of_the_tables(database: MakeDatabase) -> None:
    made = await database("payment")
    engine = create_engine(sqlalchemy_url(made.url, made.password))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    messages = {"outbox", "inbox", "parked_messages", "message_redrives", "broker_memory"}
    shared = {*messages, "idempotency_keys", "alembic_version"}
    of_columns = [
        difference
        for difference in differences
        if not (isinstance(difference, tuple) and str(difference[0]).endswith(("_index", "_constraint", "_fk")))
        and not (isinstance(difference, tuple) and difference[0] == "remove_table" and difference[1].name in shared)
    ]
    assert of_columns == []
