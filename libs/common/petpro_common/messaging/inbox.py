"""The inbox: each message is claimed in the transaction of its effects, so it takes effect once."""

from sqlalchemy import text

from petpro_common.db import Transaction

_CLAIM = text("INSERT INTO inbox (message_id) VALUES (:message_id) ON CONFLICT DO NOTHING RETURNING 1")


async def claim(tx: Transaction, message_id: str) -> bool:
    """Whether this transaction is the first to handle the message.

    A copy that is handled at the same instant waits here until the first has committed or rolled back.
    """
    return bool((await tx.execute(_CLAIM, {"message_id": message_id})).scalar())
