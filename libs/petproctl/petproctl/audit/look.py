"""How an invariant reads: a table in batches along its primary key, or only the rows that are under suspicion."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from petproctl.audit.provider import Provider

Row = dict[str, Any]

_SECONDS_FOR_A_STATEMENT = 60
_NUMBERED = ("outbox", "parked_messages")
"""Tables whose id is a number; all others have UUIDs."""

_BATCH = sql.SQL("""
    WITH batch AS MATERIALIZED (
        SELECT * FROM {table} WHERE id > %(after)s {changed} ORDER BY id LIMIT %(limit)s
    )
""")
_ONLY = sql.SQL("WITH batch AS MATERIALIZED (SELECT * FROM {table} WHERE id = ANY(%(only)s) {changed} ORDER BY id)")
_SINCE = sql.SQL(" AND updated_at >= %(since)s")
_SETTLED = sql.SQL(" AND updated_at <= CURRENT_TIMESTAMP - %(grace)s")
_UNENDED = """
    SELECT data->>'booking_id' AS booking_id FROM sagas
    WHERE status IN ('running', 'compensating', 'parked') AND data->>'booking_id' = ANY(%(bookings)s)
"""


class CannotLook(Exception):
    """A database or the provider could not be read; nothing is known then."""


@dataclass(frozen=True)
class Scope:
    """Which rows are looked at: changed since `since`, in batches; `grace` is how old a change over several databases
    must be."""

    since: datetime | None
    grace: timedelta
    batch: int = 1000


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
            options = f"-c default_transaction_read_only=on -c statement_timeout={_SECONDS_FOR_A_STATEMENT}s"
            opened = psycopg.Connection[Row].connect(
                self._dsns[service], row_factory=dict_row, autocommit=True, options=options, connect_timeout=10
            )
            self._connections[service] = self._open_things.enter_context(opened)
        return self._connections[service]


@dataclass(frozen=True)
class Look:
    """One look over everything in scope, or, again, over the subjects in `only`."""

    databases: Databases
    provider: Provider
    scope: Scope
    only: tuple[str, ...] | None = None

    def batches(
        self, service: str, table: str, statement: LiteralString, *, settled: bool, dated: bool = True
    ) -> Iterator[list[Row]]:
        """What `statement` makes of each batch of the table; it reads from `batch`, and gives every row's `id`.

        `settled` leaves out what changed within the grace. A table that is not `dated` has no `updated_at`.
        """
        last: Any = 0 if table in _NUMBERED else UUID(int=0)
        changed = sql.Composed([_SINCE] if self.scope.since and dated and self.only is None else [])
        changed += sql.Composed([_SETTLED] if settled else [])
        start = _BATCH if self.only is None else _ONLY
        query = start.format(table=sql.Identifier(table), changed=changed) + sql.SQL(statement)
        while rows := self.databases.rows(service, query, self._values(table, last)):
            yield rows
            if self.only is not None or len(rows) < self.scope.batch:
                return
            last = max(row["id"] for row in rows)

    def broken(
        self, service: str, table: str, statement: LiteralString, *, settled: bool = False, dated: bool = True
    ) -> Iterator[tuple[str, str]]:
        """The rows of which `statement` says in `broken` what is wrong."""
        for rows in self.batches(service, table, statement, settled=settled, dated=dated):
            for row in rows:
                if row["broken"] is not None:
                    yield str(row["id"]), row["broken"]

    def rows(self, service: str, statement: LiteralString, **values: Any) -> list[Row]:
        """Any rows, by an index."""
        return self.databases.rows(service, statement, values)

    def unended(self, bookings: Iterable[Any]) -> set[str]:
        """Which of these bookings a saga still works on, or waits for a person with."""
        ids = [str(booking) for booking in bookings]
        return {row["booking_id"] for row in self.rows("booking", _UNENDED, bookings=ids)} if ids else set()

    def _values(self, table: str, last: Any) -> Row:
        only = [int(each) if table in _NUMBERED else UUID(each) for each in self.only or ()]
        scope = self.scope
        return {"after": last, "limit": scope.batch, "only": only, "since": scope.since, "grace": scope.grace}
