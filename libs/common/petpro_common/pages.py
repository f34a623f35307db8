"""Keyset pages: a page token is the sort key of the last row seen, opaque, and bound to its list and its filters."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from petpro_common import context
from petpro_common.errors import InvalidRequest, invalid

DEFAULT_PAGE_SIZE = 20


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


def read_token(token: str, *filters: Any) -> tuple[str, ...] | None:
    """The sort key to go on from, as strings, or None for the first page. Raises BadPageToken."""
    if not token:
        return None
    try:
        body = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        fingerprint, *key = body
    except (binascii.Error, ValueError, TypeError):
        raise BadPageToken from None
    if fingerprint != _fingerprint(filters) or not all(isinstance(part, str) for part in key):
        raise BadPageToken
    return tuple(key)


def read_id(token: str, *filters: Any) -> UUID | None:
    """As `read_token`, of a list whose sort key is one id. Raises BadPageToken also when it holds another thing."""
    key = read_token(token, *filters)
    if key is None:
        return None
    try:
        (id_,) = key
        return UUID(id_)
    except ValueError:
        raise BadPageToken from None


def read_moment(token: str, *filters: Any) -> tuple[datetime, UUID] | None:
    """As `read_token`, of a list whose sort key is an instant and an id. Raises BadPageToken as `read_id` does."""
    key = read_token(token, *filters)
    return None if key is None else moment_of(key)


def moment_of(key: Iterable[str]) -> tuple[datetime, UUID]:
    """The instant and the id of a sort key. Raises BadPageToken when it is of other things."""
    try:
        at, id_ = key
        return datetime.fromisoformat(at), UUID(id_)
    except ValueError:
        raise BadPageToken from None
