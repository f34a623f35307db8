"""Other processes of a service, played by connections of their own."""

from psycopg.conninfo import conninfo_to_dict

from petpro_common.db import Database


def another(database: Database) -> Database:
    """The same database as another process of the service sees it; the caller closes it."""
    url = database.pool._url
    return Database(url, str(conninfo_to_dict(url)["password"]))
