"""What comes together: orders of which each has to be about something else, and rows that one statement writes."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID


class NotTogether(Exception):
    """Two orders of a batch are about one payment: each has to be decided after the other."""


def require_different(payment_ids: Iterable[UUID]) -> None:
    """Raises NotTogether when a payment comes twice."""
    if len(set(ids := list(payment_ids))) < len(ids):
        raise NotTogether


def columns(rows: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The values of rows, by their name a list."""
    return {name: [row[name] for row in rows] for name in rows[0]}
