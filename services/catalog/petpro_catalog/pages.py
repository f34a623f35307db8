"""Pages of the catalog's lists: one row more than asked for is read, to know whether there is a next page."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from petpro_common import pages
from petpro_common.pages import BadPageToken

RowT = TypeVar("RowT")


def after_name(token: str, *filters: Any) -> tuple[str, UUID] | None:
    """Name and id of the last row seen. Raises BadPageToken."""
    key = pages.read_token(token, *filters)
    return (_part(key, 0), _id(_part(key, 1))) if key else None


def after_distance(token: str, *filters: Any) -> tuple[float, UUID] | None:
    """Distance and id of the last row seen. Raises BadPageToken."""
    key = pages.read_token(token, *filters)
    if not key:
        return None
    try:
        return float(_part(key, 0)), _id(_part(key, 1))
    except ValueError:
        raise BadPageToken from None


def after_id(token: str, *filters: Any) -> UUID | None:
    """Id of the last row seen. Raises BadPageToken."""
    key = pages.read_token(token, *filters)
    return _id(_part(key, 0)) if key else None


def cut(
    rows: Sequence[RowT], size: int, key: Callable[[RowT], tuple[Any, ...]], *filters: Any
) -> tuple[Sequence[RowT], str]:
    """The first `size` rows, and the token of the page after them; empty when there is none."""
    if len(rows) <= size:
        return rows, ""
    return rows[:size], pages.write_token(key(rows[size - 1]), *filters)


def _part(key: tuple[str, ...], index: int) -> str:
    if index >= len(key):
        raise BadPageToken
    return key[index]


def _id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise BadPageToken from None
