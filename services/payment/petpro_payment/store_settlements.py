"""Every statement on settlements."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction
from petpro_payment.store_journal import posted

# What may be settled: written in time, in no settlement, of refunds gone, and of no payment that its provider has taken
# back, until a person has closed that. By idx_financial_unsettled.
_DUE = """
    SELECT e.* FROM financial_entries e LEFT JOIN refunds r ON r.id = e.refund_id
    WHERE e.settlement_id IS NULL AND e.status <> 'cancelled' AND e.created_at < :until
      AND (e.refund_id IS NULL OR r.status = 'succeeded')
      AND NOT EXISTS (SELECT FROM payments p WHERE p.id = e.payment_id
                      AND p.quarantined_amount < 0 AND p.quarantine_closed_at IS NULL)
"""
_SUMS = """
    count(*) AS entry_count, coalesce(sum(total_amount), 0) AS total_amount,
    coalesce(sum(platform_fee), 0) AS platform_fee, coalesce(sum(tax_amount), 0) AS tax_amount,
    coalesce(sum(clinic_amount), 0) AS clinic_amount
"""
_FORESEEN = text(f"""
    WITH due AS ({_DUE} AND (CAST(:clinic_id AS uuid) IS NULL OR e.clinic_id = :clinic_id)),
    sums AS (SELECT clinic_id, currency, {_SUMS} FROM due GROUP BY clinic_id, currency)
    SELECT sums.*, CAST(:until AS timestamptz) AS until,
        (SELECT max(s.until) FROM settlements s
         WHERE s.clinic_id = sums.clinic_id AND s.currency = sums.currency AND s.until < :until) AS begins
    FROM sums WHERE NOT EXISTS (SELECT FROM settlements s WHERE s.clinic_id = sums.clinic_id
                                AND s.currency = sums.currency AND s.until >= :until)
    ORDER BY clinic_id, currency
""")
# A statement of its own: what the one after it reads is as of when this lock was to be had. By the entries' locks alone
# whoever waited knew nothing of the settlement that was made meanwhile, and the periods of the two overlapped.
_IN_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:settled, 2))")
# One clinic and currency, in one statement, under its lock: the second of two at once finds what the first has left.
_SETTLE = text(f"""
    WITH due AS ({_DUE} AND e.clinic_id = :clinic_id AND e.currency = :currency FOR UPDATE OF e),
    sums AS (SELECT {_SUMS} FROM due),
    made AS (
        INSERT INTO settlements (id, clinic_id, currency, begins, until, entry_count, total_amount, platform_fee,
                                 tax_amount, clinic_amount)
        SELECT :id, :clinic_id, :currency, (SELECT max(s.until) FROM settlements s
            WHERE s.clinic_id = :clinic_id AND s.currency = :currency AND s.until < :until), :until, entry_count,
            total_amount, platform_fee, tax_amount, clinic_amount
        FROM sums WHERE entry_count > 0 AND clinic_amount >= 0 ON CONFLICT DO NOTHING RETURNING *
    ),
    settled AS (
        UPDATE financial_entries SET status = 'settled', settlement_id = made.id, updated_at = clock_timestamp(),
            settlement_date = coalesce(financial_entries.settlement_date, made.settled_at)
        FROM made, due WHERE financial_entries.id = due.id
    ),
    recorded AS (
        SELECT 'settlement' AS kind, id AS source_id, clinic_id, NULL AS provider, currency, clinic_amount FROM made
        WHERE clinic_amount <> 0
    ),
    {posted(clinic_payable="clinic_amount", payout_clearing="-clinic_amount")}
""")
_ONE = text("SELECT * FROM settlements WHERE id = :id")
_OF_CLINIC = text("""
    SELECT * FROM settlements WHERE clinic_id = :clinic_id
      AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
""")
_ENTRIES = text("SELECT * FROM financial_entries WHERE settlement_id = :id ORDER BY created_at, id")


async def foreseen(tx: Transaction, until: datetime, clinic_id: UUID | None) -> Sequence[Row]:
    """What would be settled, by clinic and currency. Nothing of a clinic that is settled until then or later."""
    return (await tx.execute(_FORESEEN, {"until": until, "clinic_id": clinic_id})).all()


async def settle(tx: Transaction, id_: UUID, clinic_id: UUID, currency: str, until: datetime) -> Row | None:
    """Settles what is due of a clinic in one currency, and posts it.

    None when nothing is due, when refunds exceed what was earned, and when it is settled until then already.
    """
    tx.write(_IN_TURN, {"settled": f"{clinic_id} {currency}"})
    tx.write(_SETTLE, {"id": id_, "clinic_id": clinic_id, "currency": currency, "until": until})
    return await find(tx, id_)


async def find(tx: Transaction, settlement_id: UUID) -> Row | None:
    """A settlement by its id."""
    return (await tx.execute(_ONE, {"id": settlement_id})).first()


async def page(tx: Transaction, clinic_id: UUID, before: UUID | None, limit: int) -> Sequence[Row]:
    """A clinic's settlements, newest first, before the one with this id."""
    return (await tx.execute(_OF_CLINIC, {"clinic_id": clinic_id, "before": before, "limit": limit})).all()


async def entries(tx: Transaction, settlement_id: UUID) -> Sequence[Row]:
    """The entries of a settlement, oldest first."""
    return (await tx.execute(_ENTRIES, {"id": settlement_id})).all()
