"""The statements that find what a person has to come without anything paid.

They are counted under a lock of that person, as what somebody holds is (`store_holds`), but of another kind: whoever
checks out keeps nobody waiting who holds. It is taken after that of a reservation, and people are locked in the order
of their ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from petpro_booking.store_holds import PENDING
from petpro_common.db import Transaction

_LOCK_PEOPLE = text("""
    SELECT pg_advisory_xact_lock(hashtextextended(CAST(user_id AS text), 3))
    FROM unnest(CAST(:user_ids AS uuid[])) AS user_id
""")
# The bookings that stand, and checkouts on their way which bring one more: in one statement, or one that is confirmed
# at this moment could be seen as neither. A booking lives for as long as it is moved, so every quarter is looked at.
# Its status is a parameter, since a plan would else find it by an index of all that is confirmed, while nothing is.
_UNPAID = text(f"""
    SELECT whose.user_id, EXTRACT(epoch FROM unpaid.starts_at - statement_timestamp())::float AS seconds
    FROM unnest(CAST(:user_ids AS uuid[])) AS whose(user_id) CROSS JOIN LATERAL (
        SELECT starts_at FROM bookings
        WHERE bookings.user_id = whose.user_id AND status = :confirmed AND payment_id IS NULL
          AND starts_at > statement_timestamp()
        UNION ALL
        SELECT starts_at FROM reservations
        WHERE reservations.user_id = whose.user_id AND {PENDING} AND payment_id IS NULL
          AND checkout_status IN ('awaiting_approval', 'awaiting_payment')
        ORDER BY starts_at DESC LIMIT :most) AS unpaid
""")  # of the text above


async def seconds_to_begin(tx: Transaction, user_ids: Iterable[UUID], most: int) -> Mapping[UUID, Sequence[float]]:
    """For each of these people in how many seconds what they have to come unpaid begins: of the `most` that begin last.

    Nobody else can count for them until the transaction ends, so what it adds keeps to what it has found.
    """
    people = sorted(set(user_ids))
    tx.write(_LOCK_PEOPLE, {"user_ids": people})
    found = await tx.execute(_UNPAID, {"user_ids": people, "confirmed": "confirmed", "most": most})
    seconds: dict[UUID, list[float]] = {user_id: [] for user_id in people}
    for row in found:
        seconds[row.user_id].append(row.seconds)
    return seconds
