"""What the worker is to ask providers about: due payments and refunds, taken on lease."""

from collections.abc import Sequence

from sqlalchemy import text

from petpro_common.db import Database, Row
from petpro_payment.domain import Payment, Refund
from petpro_payment.errands import Errand, Item
from petpro_payment.store import PAYMENT_COLUMNS, WORK, payment_of_row
from petpro_payment.store_refunds import REFUND_COLUMNS, both_of_row

# Both kinds in one order: while more payments were due than there are places, no refund's turn ever came. SKIP LOCKED:
# what another worker takes is its own, and what is locked and not taken here it finds when it looks again. One that is
# not called off counts as asked from now on.
_CLAIM = text(f"""
    WITH due_payments AS (
        SELECT id, due_at FROM payments WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ),
    due_refunds AS (
        SELECT id, due_at FROM refunds WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ),
    due AS MATERIALIZED (
        SELECT id, due_at FROM due_payments UNION ALL SELECT id, due_at FROM due_refunds ORDER BY due_at LIMIT :limit
    ),
    taken AS (
        UPDATE payments
        SET status = CASE status WHEN 'pending' THEN 'processing' ELSE status END, attempts = attempts + 1,
            asked_at = CASE WHEN cancel_requested_at IS NOT NULL OR deadline <= clock_timestamp() THEN asked_at
                            ELSE clock_timestamp() END,
            due_at = clock_timestamp() + make_interval(secs => CAST(:lease AS double precision))
        WHERE id = ANY(ARRAY(SELECT id FROM due))
        RETURNING {PAYMENT_COLUMNS}
    ),
    claimed AS (
        UPDATE refunds SET attempts = refunds.attempts + 1,
            due_at = clock_timestamp() + make_interval(secs => CAST(:lease AS double precision))
        WHERE id = ANY(ARRAY(SELECT id FROM due))
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
# As if never claimed, in the place in the line that it would have then. Not what another has claimed since, nor what a
# provider knows. `|| ''` as in `store.postpone_payment`; locks in the order in which all others take them.
_GIVE_BACK_PAYMENTS = text("""
    UPDATE payments SET status = 'pending', attempts = 0, asked_at = NULL, due_at = coalesce(asked_at, created_at)
    WHERE id = ANY(ARRAY(SELECT id FROM payments
                         WHERE id = ANY(CAST(:ids AS uuid[])) AND attempts = 1 AND status || '' = 'processing'
                             AND external_reference IS NULL
                         ORDER BY id FOR UPDATE))
""")
_GIVE_BACK_REFUNDS = text("""
    UPDATE refunds SET attempts = 0, due_at = updated_at
    WHERE id = ANY(ARRAY(SELECT id FROM refunds
                         WHERE id = ANY(CAST(:ids AS uuid[])) AND attempts = 1 AND status || '' = 'submitted'
                             AND external_reference IS NULL
                         ORDER BY payment_id, id FOR UPDATE))
""")


async def claim(database: Database, lease_seconds: float, limit: int) -> tuple[list[Item], float | None]:
    """Takes so many payments and refunds at most on lease, those due first, skipping those that another worker holds.

    The payments count as asked from then on. Beside them: the seconds until the next one is due, None when none waits.
    """
    claimed, next_due = await database.at_once([(_CLAIM, {"lease": lease_seconds, "limit": limit}), (_NEXT_DUE, {})])
    seconds = next_due.scalar()
    return list(map(_item, claimed)), None if seconds is None else float(seconds)


async def give_back(database: Database, claimed: Sequence[Item]) -> None:
    """Has what was claimed for the first time, and nobody was asked about, be due again, with no attempt counted.

    Payments and refunds commit by themselves: no lock of the one kind is held while another is waited for.
    """
    payments = [item.id for item in claimed if isinstance(item, Payment)]
    refunds = [item.refund.id for item in claimed if isinstance(item, Errand)]
    for statement, ids in ((_GIVE_BACK_PAYMENTS, payments), (_GIVE_BACK_REFUNDS, refunds)):
        if ids:
            async with database.transaction() as tx:
                tx.tell(WORK)
                tx.write(statement, {"ids": ids})


def _item(row: Row) -> Item:
    if row.refund_id is None:
        return payment_of_row(row)
    payment, refund = both_of_row(row)
    return Errand(refund, payment)
