"""A table of dogs, in which no cat may stand, and what tests of connections and transactions do to it."""

from sqlalchemy import text

from petpro_common.db import Database, Transaction
from petpro_common.testing.running import MakeDatabase

NAMES = text("SELECT name FROM dogs ORDER BY name")
ADD = text("INSERT INTO dogs (name) VALUES (:name)")
ADD_MANY = text("INSERT INTO dogs (name) SELECT unnest(CAST(:names AS text[]))")


async def open_kennel(database_of: MakeDatabase) -> Database:
    """A database with the table."""
    made = await database_of("booking")
    async with made.transaction() as tx:
        await tx.execute(text("CREATE TABLE dogs (name text PRIMARY KEY CHECK (name <> 'cat'))"))
    return made


async def names(database: Database) -> list[str]:
    async with database.transaction() as tx:
        return (await tx.execute(NAMES)).scalars()


async def add(tx: Transaction, *dogs: str) -> None:
    await tx.execute_all([(ADD, {"name": name}) for name in dogs])
