"""What is left of people who were erased: ratings, and which role and hours somebody once had at a clinic."""

from collections.abc import Sequence
from uuid import UUID

from petpro_catalog import staff, store_personal
from petpro_common.db import Transaction


async def forget(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Leaves no words of people's reviews, nor them as anybody's staff. Changes nothing the second time."""
    store_personal.forget_reviews(tx, user_ids)
    await staff.forget(tx, user_ids)
