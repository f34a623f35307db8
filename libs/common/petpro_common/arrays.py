"""Lists as PostgreSQL takes them in binary.

psycopg does it in Python, and for lists of lists of anything: eighteen lists of a hold were a sixth of its Python. Flat
lists of what most statements are given are written here; the others are left to psycopg.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from types import NoneType
from typing import Any
from uuid import UUID

_HEAD = Struct("!iiIii")  # dimensions, whether there is a NULL, type of the elements, how many, number of the first
_LENGTH = Struct("!i").pack
_NULL = _LENGTH(-1)
_BIGINT = Struct("!q").pack
_EPOCH, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True)
class _Kind:
    """OIDs of an array and of its elements (`pg_type.dat` of PostgreSQL), and how one of these is written."""

    array_oid: int
    oid: int
    written: Callable[[Any], bytes]


_KINDS = {
    str: _Kind(1009, 25, str.encode),
    UUID: _Kind(2951, 2950, lambda id_: id_.bytes),
    bytes: _Kind(1001, 17, bytes),
    int: _Kind(1016, 20, _BIGINT),
    datetime: _Kind(1185, 1184, lambda at: _BIGINT((at - _EPOCH) // _MICROSECOND)),
}


def written(values: object) -> tuple[int, bytes] | None:
    """The OID and the bytes of an array; None for what is no list, or empty, mixed, or of another type.

    Whole numbers are bigints, however small: a statement is prepared for the types of its parameters. Raises TypeError
    for an instant without a zone.
    """
    if not isinstance(values, list):
        return None
    types = set(map(type, values))
    has_null = NoneType in types
    types.discard(NoneType)
    kind = _KINDS.get(types.pop()) if len(types) == 1 else None
    if kind is None:
        return None
    parts = [_HEAD.pack(1, has_null, kind.oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = kind.written(value)
            parts += (_LENGTH(len(data)), data)
    return kind.array_oid, b"".join(parts)
