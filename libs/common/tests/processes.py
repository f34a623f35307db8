"""Other processes of a service, played by connections of their own."""

from petpro_common.db import Database


def another(database: Database) -> Database:
    """The same database as another process of the service sees it; the caller closes it."""
    return Database(database.pool._url, database.pool._password)
