"""What the worker is to ask providers about: due payments and refunds, taken on lease."""

from sqlalchemy import text

from petpro_common.db import Database, Row
from petpro_payment.domain import Refund
from petpro_payment.errands import Errand, Item
from petpro_payment.store import PAYMENT_COLUMNS, payment_of_row
from petpro_payment.store_refunds import REFUND_COLUMNS, both_of_row

# SKIP LOCKED: what another worker takes is its own. One that is not called off counts as asked from now on.
_CLAIM = text(f"""
    WITH taken AS (
        UPDATE payments
        SET status = CASE status WHEN 'pending' THEN 'processing' ELSE status END, attempts = attempts + 1,
            asked_at = CASE WHEN cancel_requested_at IS NOT NULL OR deadline <= clock_timestamp() THEN asked_at
                            ELSE clock_timestamp() END,
            due_at = clock_timestamp() + make_interval(secs => CAST(:lease AS double precision))
        WHERE id = ANY(ARRAY(SELECT id FROM payments WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT :limit
                             FOR UPDATE SKIP LOCKED))
        RETURNING {PAYMENT_COLUMNS}
    ),
    claimed AS (
        UPDATE refunds SET attempts = refunds.attempts + 1,
            due_at = clock_timestamp() + make_interval(secs => CAST(:lease AS double precision))
        WHERE id = ANY(ARRAY(SELECT id FROM refunds WHERE due_at <= statement_timestamp() ORDER BY due_at
                             LIMIT :limit - (SELECT count(*) FROM taken) FOR UPDATE SKIP LOCKED))
        RETURNING {REFUND_COLUMNS}
    )
    SELECT taken.*, {", ".join(f"NULL AS refund_{name}" for name in Refund._fields)} FROM taken
    UNION ALL
    SELECT {PAYMENT_COLUMNS}, claimed.* FROM claimed
    CROSS JOIN LATERAL (SELECT * FROM payments WHERE id = claimed.refund_payment_id OFFSET 0) AS payments
""")
_NEXT_DUE = text("""
    SELECT extract(epoch FROM least((SELECT min(due_at) FROM payments WHERE due_at IS NOT NULL),
                                    (SELECT min(due_at) FROM refunds WHERE due_at IS NOT NULL)) - clock_timestamp())
""")


async def claim(database: Database, lease_seconds: float, limit: int) -> tuple[list[Item], float | None]:
    """Takes up to so many due payments and refunds on lease, skipping those that another worker holds.

    The payments count as asked from then on. Beside them: the seconds until the next one is due, None when none waits.
    """
    claimed, next_due = await database.at_once([(_CLAIM, {"lease": lease_seconds, "limit": limit}), (_NEXT_DUE, {})])
    seconds = next_due.scalar()
    return list(map(_item, claimed)), None if seconds is None else float(seconds)


def _item(row: Row) -> Item:
    if row.refund_id is None:
        return payment_of_row(row)
    payment, refund = both_of_row(row)
    return Errand(refund, payment)
