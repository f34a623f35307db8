"""Every statement on the journal, and the part by which others write it together with what it records.

A line's amount is positive where the account is debited and negative where it is credited; the lines of a transaction
sum to zero, which the database checks at the commit. Nothing in the journal is ever changed: what is undone is posted
again the other way round.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction

_POSTED = """
    posted AS (
        INSERT INTO journal_transactions (kind, source_id, clinic_id, provider, currency)
        SELECT kind, source_id, clinic_id, provider, currency FROM recorded RETURNING id, kind, source_id
    )
    INSERT INTO journal_lines (transaction_id, account, amount)
    SELECT posted.id, line.account, line.amount FROM posted JOIN recorded USING (kind, source_id)
    CROSS JOIN LATERAL (VALUES {lines}) AS line (account, amount) WHERE line.amount <> 0
"""
_PAGE = text("""
    SELECT t.*, (SELECT jsonb_object_agg(account, CAST(amount AS text)) FROM journal_lines WHERE transaction_id = t.id)
        AS lines
    FROM journal_transactions t
    WHERE (CAST(:since AS timestamptz) IS NULL OR posted_at >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR posted_at < :until)
      AND (CAST(:after_at AS timestamptz) IS NULL OR (posted_at, id) > (:after_at, CAST(:after_id AS uuid)))
    ORDER BY posted_at, id LIMIT :limit
""")


def posted(**lines: str) -> str:
    """The end of a statement that posts what its CTE `recorded` holds: an amount, as SQL, for each account.

    `recorded` gives kind, source_id, clinic_id, provider and currency of each transaction; once a kind and source.
    """
    return _POSTED.format(lines=", ".join(f"('{account}', {amount})" for account, amount in lines.items()))


ENTRY_POSTED = posted(
    customer_liability="total_amount", platform_revenue="-platform_fee", clinic_payable="-clinic_amount",
    tax_payable="-tax_amount",
)  # fmt: skip
"""The customer's money is shared out: of it platform, clinic and tax office have their parts, or give them back."""


async def page(
    tx: Transaction, since: datetime | None, until: datetime | None, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row]:
    """Transactions in the order in which they were posted, each with its `lines`, amounts as text by account."""
    after_at, after_id = after or (None, None)
    window = {"since": since, "until": until, "after_at": after_at, "after_id": after_id, "limit": limit}
    return (await tx.execute(_PAGE, window)).all()
