"""Every statement about streams of notifications; `following` says what the numbers of transactions are for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction

# All below it have ended.
_HORIZON = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
# By the index of numbers, whoever is asked for. Higher ones than there are yet come from a server whose rows were moved
# here. The horizon is asked for before: what it says holds for this look too.
_TOLD = text("""
    SELECT told.* FROM (
        SELECT * FROM notifications WHERE told_in >= :begins
            AND told_in < CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) OFFSET 0) AS told
    WHERE told.user_id = ANY(CAST(:user_ids AS uuid[])) ORDER BY told.told_in, told.created_at, told.id
""")
# Longer than a token of theirs may still be good.
_ERASED = text("SELECT user_id FROM erased_users WHERE erased_at > CURRENT_TIMESTAMP - interval '1 hour'")
# Whoever has the last one has all that was decided before it was written. What was not is told again; of one that a
# former server numbered, what is younger. No transaction is at work for a day: that only keeps to the index.
_MISSED = text("""
    SELECT missed.* FROM notifications AS last CROSS JOIN LATERAL (
        SELECT * FROM notifications AS told
        WHERE told.user_id = last.user_id AND told.created_at > last.created_at - interval '1 day'
            AND (told.told_in >= coalesce(last.told_after, 0) OR told.created_at > last.created_at)
            AND told.id <> last.id OFFSET 0) AS missed
    WHERE last.id = :last_id AND last.user_id = :user_id
    ORDER BY missed.told_in NULLS FIRST, missed.created_at, missed.id LIMIT :most
""")
_IS_THEIRS = text("SELECT EXISTS (SELECT FROM notifications WHERE id = :last_id AND user_id = :user_id)")


@dataclass(frozen=True)
class Look:
    """What people were told since, in the order in which that was begun; the horizon; and who was erased of late."""

    found: Sequence[Row]
    horizon: int
    erased: Collection[UUID]


async def horizon(tx: Transaction) -> int:
    """The lowest number of a transaction that may still be at work."""
    number: int = (await tx.execute(_HORIZON)).scalar_one()
    return number


async def look(tx: Transaction, begins: int, user_ids: Collection[UUID]) -> Look:
    """What these people were told in transactions from the number `begins` on, in one round trip."""
    asked = {"begins": begins, "user_ids": list(user_ids)}
    before, found, erased = await tx.execute_all([(_HORIZON, {}), (_TOLD, asked), (_ERASED, {})])
    return Look(found.all(), before.scalar_one(), set(erased.scalars()))


async def missed(tx: Transaction, user_id: UUID, last_id: UUID, most: int) -> Sequence[Row] | None:
    """What a person may not have who has this one, in the order in which it was told, and maybe what they have; None
    when that one is not theirs."""
    asked = {"last_id": last_id, "user_id": user_id, "most": most}
    is_theirs, found = await tx.execute_all([(_IS_THEIRS, asked), (_MISSED, asked)])
    return found.all() if is_theirs.scalar_one() else None
