"""Where a list goes on: the sort keys that page tokens carry."""

from datetime import datetime
from uuid import UUID

from petpro_common.pages import BadPageToken


def moment_after(key: tuple[str, ...] | None) -> tuple[datetime, UUID] | None:
    """An instant and an id, of lists that are in order of both. Raises BadPageToken."""
    if key is None:
        return None
    try:
        at, id_ = key
        return datetime.fromisoformat(at), UUID(id_)
    except ValueError:
        raise BadPageToken from None


def id_after(key: tuple[str, ...] | None) -> UUID | None:
    """An id, of lists that are in its order. Raises BadPageToken."""
    if key is None:
        return None
    try:
        (id_,) = key
        return UUID(id_)
    except ValueError:
        raise BadPageToken from None
