"""The databases of all services, read-only. Another statement than a reading one is refused by the server."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Row = dict[str, Any]

_OPTIONS = (
    "-c default_transaction_read_only=on -c statement_timeout=60s -c timezone=UTC -c jit=off -c random_page_cost=1.1"
)
"""A batch is small: compiling a statement, or reading a whole table to join it, would take longer than the batch."""


class CannotLook(Exception):
    """A database or the provider could not be read; nothing is known then."""


class Databases:
    """One read-only session for each service that is asked for."""

    def __init__(self, dsns: Mapping[str, str], open_things: ExitStack) -> None:
        self._dsns = dsns
        self._open_things = open_things
        self._connections: dict[str, psycopg.Connection[Row]] = {}

    def rows(self, service: str, statement: sql.Composed | LiteralString, values: Row) -> list[Row]:
        """Raises CannotLook."""
        try:
            return self._connection(service).execute(statement, values).fetchall()
        except psycopg.Error as fault:
            raise CannotLook(f"The database of {service} cannot be read: {fault}") from fault

    def _connection(self, service: str) -> psycopg.Connection[Row]:
        if service not in self._connections:
            if service not in self._dsns:
                raise CannotLook(f"Where is the database of {service}? Give --dsn {service}=URL.")
            opened = psycopg.Connection[Row].connect(
                self._dsns[service], row_factory=dict_row, autocommit=True, options=_OPTIONS, connect_timeout=10
            )
            self._connections[service] = self._open_things.enter_context(opened)
        return self._connections[service]
