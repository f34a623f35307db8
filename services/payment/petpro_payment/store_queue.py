"""Every statement on money that waits for a person, or for a provider: lists, counts, what closes a quarantine."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction
from petpro_payment.domain import RefundStatus
from petpro_payment.store_journal import posted
from petpro_payment.store_refunds import REFUND_COLUMNS

_WAITS = """
    {since} <= clock_timestamp() - make_interval(secs => CAST(:min_age AS double precision))
    AND (CAST(:after_at AS timestamptz) IS NULL OR ({since}, {id}) > (:after_at, CAST(:after_id AS uuid)))
    ORDER BY {since}, {id} LIMIT :limit
"""
# Each along a partial index of what waits; payments are looked up for one page alone.
_REFUNDS = f"""
    SELECT {REFUND_COLUMNS}, payments.user_id, payments.clinic_id, payments.provider, {{since}} AS waits_since
    FROM (
        SELECT * FROM refunds WHERE {{which}} AND (CAST(:state AS text) IS NULL OR refunds.state = :state)
          AND {_WAITS.replace("{id}", "refunds.id")}
    ) AS refunds JOIN payments ON payments.id = refunds.payment_id ORDER BY {{since}}, refunds.id
"""
_FOR_A_PERSON = text(_REFUNDS.format(which="refunds.status = 'manual'", since="refunds.updated_at"))
_UNKNOWN = text(_REFUNDS.format(which="refunds.unknown_since IS NOT NULL", since="refunds.unknown_since"))
_WAITING = text(
    _REFUNDS.format(
        which="refunds.waiting_since IS NOT NULL AND refunds.unknown_since IS NULL", since="refunds.waiting_since"
    )
)
_OPEN = {RefundStatus.UNKNOWN: _UNKNOWN, RefundStatus.WAITING: _WAITING}
# By the partial indexes of what waits for a person, and of what a provider is asked about.
_COUNTED = text("""
    SELECT 'refund for a person' AS what, count(*) AS found,
        coalesce(extract(epoch FROM clock_timestamp() - min(updated_at)), 0) AS oldest_seconds
    FROM refunds WHERE status = 'manual'
    UNION ALL
    SELECT 'reversed refund', count(*), coalesce(extract(epoch FROM clock_timestamp() - min(reversed_at)), 0)
    FROM refunds WHERE status = 'manual' AND reversed_at IS NOT NULL
    UNION ALL
    SELECT 'refund of unknown outcome', count(*),
        coalesce(extract(epoch FROM clock_timestamp() - min(unknown_since)), 0)
    FROM refunds WHERE unknown_since IS NOT NULL
    UNION ALL
    SELECT 'refund put off', count(*), coalesce(extract(epoch FROM clock_timestamp() - min(waiting_since)), 0)
    FROM refunds WHERE waiting_since IS NOT NULL AND unknown_since IS NULL
    UNION ALL
    SELECT 'refund at the provider', count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
    FROM refunds WHERE due_at IS NOT NULL AND status IN ('submitted', 'pending')
    UNION ALL
    SELECT 'quarantined payment', count(*),
        coalesce(extract(epoch FROM clock_timestamp() - min(quarantined_at)), 0)
    FROM payments WHERE quarantined_at IS NOT NULL AND quarantine_closed_at IS NULL
    UNION ALL
    SELECT 'payment past its deadline', count(*), coalesce(extract(epoch FROM clock_timestamp() - min(deadline)), 0)
    FROM payments
    WHERE status IN ('pending', 'processing', 'unknown')
      AND deadline < clock_timestamp() - make_interval(secs => CAST(:seconds AS double precision))
""")
_QUARANTINED = text(f"""
    SELECT * FROM payments
    WHERE quarantined_at IS NOT NULL AND quarantine_closed_at IS NULL
      AND {_WAITS.format(since="quarantined_at", id="id")}
""")
_IS_QUARANTINED = text("""
    SELECT quarantined_at IS NOT NULL AND quarantine_closed_at IS NULL FROM payments WHERE id = :id FOR UPDATE
""")
_CLOSE = text(f"""
    WITH closed AS (
        UPDATE payments SET quarantine_closed_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE id = :id RETURNING *
    ),
    recorded AS (
        SELECT 'quarantine_closed' AS kind, id AS source_id, clinic_id, provider, quarantined_currency AS currency,
            quarantined_amount
        FROM closed WHERE quarantined_amount > 0
    ),
    {posted(customer_liability="quarantined_amount", provider_clearing="-quarantined_amount")}
""")


async def waiting_refunds(
    tx: Transaction, status: RefundStatus | None, min_age: int, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row]:
    """Refunds for a person that have waited so many seconds or longer, the oldest first; or unknown or waiting ones.

    REFUND_COLUMNS, whose they are, and `waits_since`.
    """
    statement, state = (_OPEN[status], None) if status in _OPEN else (_FOR_A_PERSON, status)
    return (await tx.execute(statement, {"state": state, **_window(min_age, after, limit)})).all()


async def quarantined(tx: Transaction, min_age: int, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Row]:
    """Quarantined payments that have waited so many seconds or longer, the oldest first."""
    return (await tx.execute(_QUARANTINED, _window(min_age, after, limit))).all()


async def is_quarantined(tx: Transaction, payment_id: UUID) -> bool | None:
    """Whether a payment is quarantined; None when there is none. Takes its row lock."""
    found: bool | None = (await tx.execute(_IS_QUARANTINED, {"id": payment_id})).scalar()
    return found


def close_quarantine(tx: Transaction, payment_id: UUID) -> None:
    """What the provider took has gone back, and is posted as such. Under the row lock."""
    tx.write(_CLOSE, {"id": payment_id})


def _window(min_age: int, after: tuple[datetime, UUID] | None, limit: int) -> dict[str, object]:
    after_at, after_id = after or (None, None)
    return {"min_age": min_age, "after_at": after_at, "after_id": after_id, "limit": limit}


async def waiting(tx: Transaction, seconds: float) -> list[Row]:
    """By what refunds and payments wait for: how many, and how long the oldest has.

    Payments are quarantined, where a provider has another amount than was ordered, or past their deadline by `seconds`,
    where it does not say what it did.
    """
    return list(await tx.execute(_COUNTED, {"seconds": seconds}))
