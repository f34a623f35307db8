"""Statements about rows of partitioned tables that are given by their ids, for one of them or for several.

Both shapes are made of one text. For one, its id is a parameter and not a row, so PostgreSQL prepares the partition in
which it lies and no other. Several are bounded by the first and the last of them, for it to prepare those in between:
all of them, with the many indexes of such a table, take longer than the change.

Which partitions they are in is said by parameters, so that it is known before a statement runs. Where it is found out
row by row (`created_at` compared with a column of the given rows) PostgreSQL 18 up to 18.6 forgets it as soon as it had
to wait for a row and looks at it anew: it finds no row after that, or the server goes down.
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from sqlalchemy import text

from petpro_common.ids import span
from petpro_common.wire import BoundStatement

_ID = "CAST(:id AS uuid)"
_CREATED = f"created_at = uuid_extract_timestamp({_ID})"
_WITHIN = "created_at BETWEEN uuid_extract_timestamp(:first) AND uuid_extract_timestamp(:last)"


class ForEach:
    """A statement in which `{given}` stands for the given rows, named `given`, whose columns are of these types.

    `{theirs}` is true of those rows of `table`, if it is about one, whose ids are given. The first column is the id.
    """

    def __init__(self, statement: str, table: str = "", **types: str) -> None:
        self._columns = tuple(types)
        self._by_id = itemgetter(self._columns[0])
        self._is_bounded = bool(table)
        one = ", ".join(f"CAST(:{name} AS {type_}) AS {name}" for name, type_ in types.items())
        lists = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in types.items())
        self._one = text(
            statement.format(given=f"(SELECT {one}) AS given", theirs=f"{table}.id = {_ID} AND {table}.{_CREATED}")
        )
        self._several = text(
            statement.format(
                given=f"unnest({lists}) AS given({', '.join(types)})",
                theirs=f"{table}.id = ANY(CAST(:id AS uuid[])) AND {table}.{_WITHIN}",
            )
        )

    def bound(self, rows: Iterable[Mapping[str, Any]]) -> BoundStatement:
        """The statement for these rows; it is given them in the order of their ids, in which it changes its own."""
        in_order = sorted(rows, key=self._by_id)
        if len(in_order) == 1:
            return self._one, in_order[0]
        columns = {name: [row[name] for row in in_order] for name in self._columns}
        if not self._is_bounded:
            return self._several, columns
        first, last = span(columns["id"])
        return self._several, {**columns, "first": first, "last": last}
