"""Our own rows that a provider without a list is asked about, each kind along an index."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Transaction
from petpro_payment.domain import Payment
from petpro_payment.errands import Errand
from petpro_payment.providers.movements import Span
from petpro_payment.store import PAYMENT_COLUMNS, payment_of_row
from petpro_payment.store_refunds import REFUND_COLUMNS, both_of_row

_WITHIN = """
    payments.provider = :provider AND {at} >= :since AND {at} < :until
    AND (CAST(:after_at AS timestamptz) IS NULL OR ({at}, {id}) > (:after_at, CAST(:after_id AS uuid)))
    ORDER BY {at}, {id} LIMIT :size
"""
_PAYMENTS = text(f"""
    SELECT {PAYMENT_COLUMNS} FROM payments
    WHERE captured > 0 AND {_WITHIN.format(at="payments.paid_at", id="payments.id")}
""")
_REFUNDS = text(f"""
    SELECT {PAYMENT_COLUMNS}, {REFUND_COLUMNS} FROM refunds JOIN payments ON payments.id = refunds.payment_id
    WHERE payments.external_reference IS NOT NULL AND refunds.status NOT IN ('reserved', 'released')
      AND {_WITHIN.format(at="refunds.updated_at", id="refunds.id")}
""")


async def payments(tx: Transaction, provider: str, span: Span, after: tuple[datetime, UUID] | None) -> list[Payment]:
    """Payments of the provider that were paid within the span, the oldest first."""
    return [payment_of_row(row) for row in await tx.execute(_PAYMENTS, _values(provider, span, after))]


async def refunds(tx: Transaction, provider: str, span: Span, after: tuple[datetime, UUID] | None) -> list[Errand]:
    """Refunds of the provider's payments that were sent to it, and last changed within the span, the oldest first."""
    rows = await tx.execute(_REFUNDS, _values(provider, span, after))
    return [Errand(refund, payment) for payment, refund in map(both_of_row, rows)]


def _values(provider: str, span: Span, after: tuple[datetime, UUID] | None) -> dict[str, object]:
    after_at, after_id = after or (None, None)
    known = {"provider": provider, "since": span.since, "until": span.until, "size": span.size}
    return {**known, "after_at": after_at, "after_id": after_id}
