"""Ids are UUIDv7 (RFC 9562): ordered by time, and the time can be read back from them.

Partitioned tables rely on that: the id alone tells the partition in which its row lies.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import uuid_utils

from petpro_common.errors import invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> UUID:
    """A fresh id that carries the present instant, in milliseconds."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def new_id_text() -> str:
    """The same as text, for what is only ever text: UUID makes four objects to come to it."""
    return str(uuid_utils.uuid7())


def id_of_date(day: date) -> UUID:
    """A fresh id that carries `day` (midnight UTC) in place of the present: for rows partitioned by their own date."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return UUID(bytes=uuid_utils.uuid7(nanoseconds=int(midnight.timestamp()) * 1_000_000_000).bytes)


def instant_of(id_: UUID) -> datetime:
    """The instant that a UUIDv7 carries, in UTC, exact to the millisecond.

    Raises ValueError for a UUID of another version, which carries none.
    """
    if id_.version != 7:
        raise ValueError("only a UUIDv7 carries its time")
    return _EPOCH + timedelta(milliseconds=id_.int >> 80)


def optional_id(field: str, value: str) -> UUID | None:
    """The id in a request's field that may be empty. Raises InvalidRequest when it is no UUID."""
    try:
        return UUID(value) if value else None
    except ValueError:
        raise invalid(field, "must be a UUID") from None


def span(ids: Sequence[UUID]) -> tuple[UUID, UUID]:
    """The earliest and the latest of ids. Those of other versions, which carry no time, do not count beside UUIDv7s."""
    timed = [id_ for id_ in ids if id_.version == 7] or ids
    return min(timed), max(timed)
