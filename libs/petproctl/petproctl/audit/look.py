"""How an invariant reads: a whole table along its primary key, what has changed, or only what is under suspicion."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from petproctl.audit.changes import NUMBERED, before_all, changed
from petproctl.audit.databases import Databases, Row
from petproctl.audit.lists import Lists
from petproctl.audit.provider import Provider

_WALK = sql.SQL("id > %(after)s AND ({always}) {settled} ORDER BY id LIMIT %(limit)s")
_THESE = sql.SQL("id = ANY(%(ids)s) AND ({always}) {settled}")
_BATCH = sql.SQL("WITH batch AS MATERIALIZED (SELECT * FROM {table} WHERE {which}) {statement}")
_SETTLED = sql.SQL("AND updated_at <= CURRENT_TIMESTAMP - %(grace)s")
_UNENDED = """
    SELECT data->>'booking_id' AS booking_id FROM sagas
    WHERE status IN ('running', 'compensating', 'parked') AND data->>'booking_id' = ANY(%(bookings)s)
"""


@dataclass(frozen=True)
class Scope:
    """Which rows are looked at: changed since `since`, in batches; `grace` is how old a change over several databases
    must be."""

    since: datetime | None
    grace: timedelta
    batch: int = 1000


@dataclass
class Tally:
    """What one invariant has looked at so far: rows, and subjects that it could not judge yet."""

    rows: int = 0
    postponed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Look:
    """One look over everything in scope, or, again, over the subjects in `only`."""

    databases: Databases
    provider: Provider
    scope: Scope
    lists: Lists | None = None
    """Of other providers than the one that is asked itself; None when nobody can read them."""
    only: tuple[str, ...] | None = None
    tally: Tally = field(default_factory=Tally)

    def batches(
        self, service: str, table: str, statement: LiteralString, *, settled: bool, always: LiteralString | None = None
    ) -> Iterator[list[Row]]:
        """What `statement` makes of each batch of the table; it reads from `batch`, and gives every row's `id`.

        `settled` leaves out what changed within the grace. Rows that meet `always` are few, found by an index of
        theirs, and looked at in every run: of them time makes faults, and no change.
        """
        conditions = {"always": sql.SQL(always or "true"), "settled": _SETTLED if settled else sql.SQL("")}
        parts = {"table": sql.Identifier(table), "statement": sql.SQL(statement)}
        if self.only is None and (always or self.scope.since is None):
            yield from self._walk(service, table, _BATCH.format(which=_WALK.format(**conditions), **parts))
            return
        query = _BATCH.format(which=_THESE.format(**conditions), **parts)
        for ids in self._ids(service, table):
            yield self._read(service, query, {"ids": ids})

    def broken(
        self,
        service: str,
        table: str,
        statement: LiteralString,
        *,
        settled: bool = False,
        always: LiteralString | None = None,
    ) -> Iterator[tuple[str, str]]:
        """The rows of which `statement` says in `broken` what is wrong."""
        for rows in self.batches(service, table, statement, settled=settled, always=always):
            for row in rows:
                if row["broken"] is not None:
                    yield str(row["id"]), row["broken"]

    def rows(self, service: str, statement: LiteralString, **values: Any) -> list[Row]:
        """Any rows, by an index."""
        return self.databases.rows(service, statement, values)

    def at_rest(self, suspects: list[Row], booking: str) -> list[Row]:
        """Those of which no saga works on the booking, or waits for a person with it; the others are postponed."""
        bookings = [str(row[booking]) for row in suspects]
        found = self.rows("booking", _UNENDED, bookings=bookings) if bookings else []
        unended = {row["booking_id"] for row in found}
        for row in suspects:
            if str(row[booking]) in unended:
                self.postpone(row["id"])
        return [row for row in suspects if str(row[booking]) not in unended]

    def postpone(self, subject: Any) -> None:
        """It cannot be judged yet, so the next run looks at it again, whether it changes or not."""
        self.tally.postponed.add(str(subject))

    def _walk(self, service: str, table: str, query: sql.Composed) -> Iterator[list[Row]]:
        last = before_all(table)
        while rows := self._read(service, query, {"after": last, "limit": self.scope.batch}):
            yield rows
            if len(rows) < self.scope.batch:
                return
            last = max(row["id"] for row in rows)

    def _ids(self, service: str, table: str) -> Iterator[list[Any]]:
        if self.only is not None:
            of_text = int if table in NUMBERED else UUID
            yield [of_text(each) for each in self.only]
        elif self.scope.since is not None:
            yield from changed(self.databases, service, table, self.scope.since, self.scope.batch)

    def _read(self, service: str, query: sql.Composed, values: Row) -> list[Row]:
        rows = self.databases.rows(service, query, {**values, "grace": self.scope.grace})
        self.tally.rows += len(rows)
        return rows
