"""Orders that come together, of which each has to be about something else."""

from collections.abc import Iterable
from uuid import UUID


class NotTogether(Exception):
    """Two orders of a batch are about one payment: each has to be decided after the other."""


def require_different(payment_ids: Iterable[UUID]) -> None:
    """Raises NotTogether when a payment comes twice."""
    if len(set(ids := list(payment_ids))) < len(ids):
        raise NotTogether
