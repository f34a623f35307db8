"""Keyset pages: a page token is the sort key of the last row seen, opaque, and bound to its list and its filters."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload
from uuid import UUID

import orjson

from petpro_common import context
from petpro_common.errors import InvalidRequest, invalid

DEFAULT_PAGE_SIZE = 20
_MOMENT = (datetime.fromisoformat, UUID)

_First = TypeVar("_First")
_Second = TypeVar("_Second")
_Row = TypeVar("_Row")


class BadPageToken(InvalidRequest):
    """The page token was not made by this list with these filters."""

    reason = "BAD_PAGE_TOKEN"


def page_size(asked: int) -> int:
    """Rows to a page: what was asked for, or 20. Raises InvalidRequest outside of 0 to 100."""
    if not 0 <= asked <= 100:
        raise invalid("page_size", "must be between 0 and 100")
    return asked or DEFAULT_PAGE_SIZE


def _fingerprint(filters: tuple[Any, ...]) -> str:
    """Of the filters and of the list, which is the call in hand."""
    call = context.current()
    bound = [call.method if call else "", *(str(value) for value in filters)]
    return hashlib.sha256(orjson.dumps(bound)).hexdigest()[:16]


def write_token(key: tuple[Any, ...], *filters: Any) -> str:
    """The token of the page after the row with this sort key."""
    body = orjson.dumps([_fingerprint(filters), *(str(part) for part in key)])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


@overload
def read_key(token: str, reads: tuple[Callable[[str], _First]], *filters: Any) -> tuple[_First] | None: ...


@overload
def read_key(
    token: str, reads: tuple[Callable[[str], _First], Callable[[str], _Second]], *filters: Any
) -> tuple[_First, _Second] | None: ...


def read_key(token: str, reads: Sequence[Callable[[str], Any]], *filters: Any) -> tuple[Any, ...] | None:
    """The sort key to go on from, each part as its `read` makes it of text; None for the first page.

    Raises BadPageToken, also for a key of other parts.
    """
    if not token:
        return None
    try:
        body = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        fingerprint, *key = body
    except (binascii.Error, ValueError, TypeError):
        raise BadPageToken from None
    if fingerprint != _fingerprint(filters) or not all(isinstance(part, str) for part in key):
        raise BadPageToken
    return _read(key, reads)


def read_id(token: str, *filters: Any) -> UUID | None:
    """As `read_key`, of a list whose sort key is one id."""
    key = read_key(token, (UUID,), *filters)
    return key and key[0]


def read_moment(token: str, *filters: Any) -> tuple[datetime, UUID] | None:
    """As `read_key`, of a list whose sort key is an instant and an id."""
    return read_key(token, _MOMENT, *filters)


def moment_of(key: Sequence[str]) -> tuple[datetime, UUID]:
    """The instant and the id of a sort key. Raises BadPageToken when it is of other things."""
    at, id_ = _read(key, _MOMENT)
    return at, id_


def cut(
    rows: Sequence[_Row], size: int, key: Callable[[_Row], tuple[Any, ...]], *filters: Any
) -> tuple[Sequence[_Row], str]:
    """The first `size` rows, and the token of the page after them; empty when there is none.

    One row more than `size` is to be read, to know that.
    """
    if len(rows) <= size:
        return rows, ""
    return rows[:size], write_token(key(rows[size - 1]), *filters)


def _read(key: Sequence[str], reads: Sequence[Callable[[str], Any]]) -> tuple[Any, ...]:
    try:
        return tuple(read(part) for read, part in zip(reads, key, strict=True))
    except ValueError:
        raise BadPageToken from None
