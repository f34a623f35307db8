"""In which partition rows lie, as their ids tell it; and statements on rows given by their ids, on one or several.

Of these statements both shapes are made of one text. For one row, its id is a parameter and not a row, so PostgreSQL
prepares the partition in which it lies and no other. Several are bounded by the first and the last of them, for it to
prepare those in between: all of them, with the many indexes of such a table, take longer than the change.

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


def day_of(slot_id: str) -> str:
    """The SQL for the day of a slot, given that of its id."""
    return f"(uuid_extract_timestamp({slot_id}) AT TIME ZONE 'UTC')::date"


_ID = "CAST(:id AS uuid)"
_CREATED = f"created_at = uuid_extract_timestamp({_ID})"
THIS = f"id = {_ID} AND {_CREATED}"
"""True of the reservation or booking `:id`."""

DAY = day_of("CAST(:slot_id AS uuid)")
THE_DAY = f"slot_date = {DAY}"
"""True of the slots of the day of `:slot_id`."""

THIS_SLOT = f"id = :slot_id AND {THE_DAY}"
"""True of the slot `:slot_id`."""

# `<= ANY` of one, since PostgreSQL takes a range between two parameters for so narrow that it looks for slots by their
# day, and not by their id, as long as there are a few hundred of them.
_FIRST_DAY, _LAST_DAY = day_of("CAST(:first_slot_id AS uuid)"), day_of("CAST(:last_slot_id AS uuid)")
THESE_DAYS = f"slot_date >= {_FIRST_DAY} AND slot_date <= ANY(ARRAY[{_LAST_DAY}])"
"""True of the slots of the days from that of `:first_slot_id` to that of `:last_slot_id`."""

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
