"""Pages of the catalog's lists: one row more than asked for is read, to know whether there is a next page."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from petpro_common import pages
from petpro_common.pages import BadPageToken

RowT = TypeVar("RowT")
First = TypeVar("First", str, float)


def after_name(token: str, *filters: Any) -> tuple[str, UUID] | None:
    """Name and id of the last row seen. Raises BadPageToken."""
    return _after(str, pages.read_token(token, *filters))


def after_distance(token: str, *filters: Any) -> tuple[float, UUID] | None:
    """Distance and id of the last row seen. Raises BadPageToken."""
    return _after(float, pages.read_token(token, *filters))


def cut(
    rows: Sequence[RowT], size: int, key: Callable[[RowT], tuple[Any, ...]], *filters: Any
) -> tuple[Sequence[RowT], str]:
    """The first `size` rows, and the token of the page after them; empty when there is none."""
    if len(rows) <= size:
        return rows, ""
    return rows[:size], pages.write_token(key(rows[size - 1]), *filters)


def _after(read: Callable[[str], First], key: tuple[str, ...] | None) -> tuple[First, UUID] | None:
    if key is None:
        return None
    try:
        first, id_ = key
        return read(first), UUID(id_)
    except ValueError:
        raise BadPageToken from None
