"""Which rows a run since an instant looks at: those that changed, and those that a changed row leads to.

A promise about a slot can be broken by one of its holds while the slot itself stays as it was. So a row counts as
changed when one that `LEADS` names has changed, be it in another database. A row is found by an index on its time of
change, page by page along it; one that changes again meanwhile comes again at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from petproctl.audit.databases import Databases

NUMBERED = ("outbox", "parked_messages")
"""Tables whose id is a number; all others have UUIDs."""

_CHANGED_AT = {"outbox": "published_at", "journal_transactions": "posted_at", "settlements": "settled_at"}
"""The time of change, where it is not `updated_at`."""

_PAGE = sql.SQL("""
    SELECT id, {changed_at} AS changed_at, {key} AS led_to FROM {table}
    WHERE ({changed_at}, id) > (%(at)s, %(last)s) ORDER BY {changed_at}, id LIMIT %(limit)s
""")


@dataclass(frozen=True)
class Source:
    """A table of which a changed row leads to others: `key` says to which."""

    service: str
    table: str
    key: LiteralString = "id"


_ENTRY = "(SELECT e.id FROM financial_entries e WHERE e.refund_id = refunds.id AND e.status <> 'cancelled')"

LEADS = {
    "slots": (Source("booking", "reservations", "slot_id"), Source("booking", "bookings", "slot_id")),
    "reservations": (Source("booking", "sagas", "CAST(data->>'reservation_id' AS uuid)"),),
    "bookings": (
        Source("booking", "reservations", "booking_id"),
        Source("booking", "sagas", "CAST(data->>'booking_id' AS uuid)"),
        Source("payment", "payments", "booking_id"),
        Source("payment", "refunds", "booking_id"),
    ),
    "payments": (
        Source("payment", "refunds", "payment_id"),
        Source("payment", "financial_entries", "payment_id"),
        Source("booking", "bookings", "payment_id"),
    ),
    "settlements": (Source("payment", "financial_entries", "settlement_id"),),
    "financial_entries": (Source("payment", "refunds", _ENTRY),),
}
"""What leads to the rows of a table besides themselves."""


def changed(databases: Databases, service: str, table: str, since: datetime, limit: int) -> Iterator[list[Any]]:
    """The ids of all rows of `table` that count as changed since, `limit` at a time; some come more than once."""
    for source in (Source(service, table), *LEADS.get(table, ())):
        for page in _pages(databases, source, since, limit):
            yield list({row["led_to"] for row in page} - {None})


def _pages(databases: Databases, source: Source, since: datetime, limit: int) -> Iterator[list[dict[str, Any]]]:
    changed_at = sql.Identifier(_CHANGED_AT.get(source.table, "updated_at"))
    query = _PAGE.format(changed_at=changed_at, key=sql.SQL(source.key), table=sql.Identifier(source.table))
    at, last = since, before_all(source.table)
    while page := databases.rows(source.service, query, {"at": at, "last": last, "limit": limit}):
        yield page
        if len(page) < limit:
            return
        at, last = page[-1]["changed_at"], page[-1]["id"]


def before_all(table: str) -> Any:
    """Lower than every id of the table."""
    return 0 if table in NUMBERED else UUID(int=0)
