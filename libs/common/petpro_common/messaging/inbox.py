"""The inbox: each message is claimed in the transaction of its effects, so it takes effect once."""

from collections.abc import Iterable

from sqlalchemy import text

from petpro_common.db import Transaction
from petpro_common.wire import Order

# In one order everywhere, so that two batches with the same messages do not wait for each other in a circle.
_CLAIM = text("""
    INSERT INTO inbox (message_id)
    SELECT message_id FROM unnest(CAST(:message_ids AS text[])) AS message_id ORDER BY message_id
    ON CONFLICT DO NOTHING RETURNING message_id
""")
_GIVE_UP = text("DELETE FROM inbox WHERE message_id = ANY(:message_ids)")


async def claim(tx: Transaction, message_ids: Iterable[str]) -> set[str]:
    """Those of the messages that this transaction is the first to handle.

    A copy that is handled at the same instant waits here until the first has committed or rolled back.
    """
    return set((await tx.execute(*claiming(message_ids))).scalars())


def claiming(message_ids: Iterable[str]) -> Order:
    """The statement of `claim`, for a round trip with others; it gives the ids that are new."""
    return _CLAIM, {"message_ids": list(message_ids)}


def give_up(tx: Transaction, message_ids: Iterable[str]) -> None:
    """Takes back what this transaction has claimed and not handled."""
    if left := list(message_ids):
        tx.write(_GIVE_UP, {"message_ids": left})
