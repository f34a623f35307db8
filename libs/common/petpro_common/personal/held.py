"""What a service holds of a person: rows by table, in pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text

from petpro_common.db import Transaction


@dataclass(frozen=True)
class Held:
    """A table with rows about people: the columns that are told, and those that are a secret even to them.

    `theirs` says which rows are about `:user_id`; `key` is unique among these.
    """

    table: str
    columns: str
    secrets: str = ""
    theirs: str = "user_id = :user_id"
    key: str = "id"

    @cached_property
    def page(self) -> TextClause:
        """A person's rows by their keys, from the one after `:after`."""
        key = f'CAST({self.key} AS text) COLLATE "C"'
        return text(f"""
            SELECT {key} AS "key", {self.columns} FROM {self.table}
            WHERE ({self.theirs}) AND (CAST(:after AS text) = '' OR {key} > :after) ORDER BY 1 LIMIT :limit
        """)  # noqa: S608  # the names are constants of the code


class HeldRow(NamedTuple):
    """One row as it is told, and its place among all of that person's."""

    table: str
    key: str
    values: Mapping[str, Any]


async def page(
    tx: Transaction, tables: Sequence[Held], user_id: UUID, after: tuple[str, str] | None, limit: int
) -> list[HeldRow]:
    """The next rows about a person, after a table and a key. Takes no lock."""
    table, key = after or ("", "")
    names = [held.table for held in tables]
    found: list[HeldRow] = []
    for held in tables[names.index(table) if table in names else 0 :]:
        asked = {"user_id": user_id, "after": key if held.table == table else "", "limit": limit - len(found)}
        for row in await tx.execute(held.page, asked):
            key_of_row, *values = row
            told = dict(zip(held.columns.replace(" ", "").split(","), map(_plain, values), strict=True))
            found.append(HeldRow(held.table, key_of_row, told))
        if len(found) == limit:
            break
    return found


def _plain(value: Any) -> Any:
    """As JSON has it; amounts stay exact."""
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
