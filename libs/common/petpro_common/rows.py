"""What a statement gives."""

from collections.abc import Iterator
from typing import Any, TypeAlias

Row: TypeAlias = Any
"""A row: a named tuple of its columns."""


class Rows:
    """What a statement gave."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Row], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        """How many rows it returned or changed."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def all(self) -> list[Row]:
        return self._rows

    def first(self) -> Row | None:
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """The only row. Raises ValueError when there is none, or more than one."""
        (row,) = self._rows
        return row

    def scalars(self) -> list[Any]:
        """The first column."""
        return [row[0] for row in self._rows]

    def scalar(self) -> Any:
        """The first column of the first row; None when there is no row."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the only row. Raises ValueError when there is none, or more than one."""
        return self.one()[0]
