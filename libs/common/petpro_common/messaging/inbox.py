"""The inbox: each message is claimed in the transaction of its effects, so it takes effect once."""

from collections.abc import Iterable

from sqlalchemy import text

from petpro_common.db import Transaction
from petpro_common.wire import BoundStatement

# In one order everywhere, so that two batches with the same messages do not wait for each other in a circle.
_CLAIM = text("""
    INSERT INTO inbox (message_id)
    SELECT message_id FROM unnest(CAST(:message_ids AS text[])) AS message_id ORDER BY message_id
    ON CONFLICT DO NOTHING RETURNING message_id
""")
# Commands are written once, with their replies: to claim them by a row and change that cost as much again. So whoever
# has one in hand is waited for by a lock; the primary key has the last word.
_LOCK = text("""
    SELECT pg_advisory_xact_lock(hashtextextended(command_id, 1))
    FROM unnest(CAST(:command_ids AS text[])) AS command_id
""")
_UNKNOWN = text("""
    SELECT id FROM unnest(CAST(:ids AS text[])) AS given(id)
    LEFT JOIN LATERAL (SELECT message_id FROM inbox WHERE message_id = id OFFSET 0) known ON true
    WHERE known.message_id IS NULL
""")


async def claim(tx: Transaction, message_ids: Iterable[str]) -> set[str]:
    """Those of the messages that this transaction is the first to handle.

    A copy that is handled at the same instant waits here until the first has committed or rolled back.
    """
    return set((await tx.execute(*claiming(message_ids))).scalars())


def claiming(message_ids: Iterable[str]) -> BoundStatement:
    """The statement of `claim`, for a round trip with others; it gives the ids that are new."""
    return _CLAIM, {"message_ids": list(message_ids)}


async def unknown(tx: Transaction, command_ids: Iterable[str], message_ids: Iterable[str] = ()) -> set[str]:
    """Those of these command ids that nobody has carried out and nobody else will before this transaction ends, and
    those of the message ids that nobody has discarded.

    The caller stores what it carries out. As with `claim`, a copy that is handled at the same instant waits here. Locks
    are taken in the order of the ids.
    """
    ids = sorted(command_ids)
    tx.write(_LOCK, {"command_ids": ids})
    return set((await tx.execute(_UNKNOWN, {"ids": [*ids, *message_ids]})).scalars())
