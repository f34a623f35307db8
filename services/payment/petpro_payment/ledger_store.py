"""Every statement on the clinics' ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, tuple_

from petpro_common.db import Row, Transaction
from petpro_payment.splitting import Split
from petpro_payment.tables import financial_entries as entries

# One active fee per booking and one active entry per refund are held by unique indexes.
_INSERT = text("""
    INSERT INTO financial_entries (id, booking_id, clinic_id, payment_id, refund_id, type, currency, status,
                                   settlement_date, total_amount, platform_fee, clinic_amount, tax_amount)
    VALUES (:id, :booking_id, :clinic_id, :payment_id, :refund_id, :type, :currency, :status,
            :settlement_date, :total_amount, :platform_fee, :clinic_amount, :tax_amount)
""")
_FIND = text("SELECT * FROM financial_entries WHERE id = :id")
_FEE_OF = text("""
    SELECT * FROM financial_entries WHERE booking_id = :booking_id AND type = 'booking_fee' AND status <> 'cancelled'
""")
# Everything by which a refund's entry is decided. Exact under the payment's lock and `hold`.
_BEFORE_REFUND = text("""
    SELECT EXISTS (SELECT FROM called_off_orders WHERE id = :entry_id) AS was_called_off,
        (SELECT status FROM financial_entries WHERE id = :entry_id) AS known_status,
        fee.platform_fee, fee.tax_amount, fee.clinic_amount,
        coalesce(sum(earlier.platform_fee), 0) AS earlier_platform_fee,
        coalesce(sum(earlier.tax_amount), 0) AS earlier_tax_amount,
        coalesce(sum(earlier.clinic_amount), 0) AS earlier_clinic_amount
    FROM (SELECT) AS one
    LEFT JOIN financial_entries fee
        ON fee.booking_id = :booking_id AND fee.type = 'booking_fee' AND fee.status <> 'cancelled'
    LEFT JOIN financial_entries earlier
        ON earlier.payment_id = :payment_id AND earlier.type = 'refund' AND earlier.status <> 'cancelled'
    GROUP BY fee.platform_fee, fee.tax_amount, fee.clinic_amount
""")
_CANCEL = text("""
    UPDATE financial_entries SET status = 'cancelled', updated_at = clock_timestamp() WHERE id = :id
""")
# One that is settled keeps its date.
_SETTLE = text("""
    UPDATE financial_entries SET updated_at = CASE status WHEN 'pending' THEN clock_timestamp() ELSE updated_at END,
        settlement_date = CASE status WHEN 'pending' THEN CURRENT_TIMESTAMP ELSE settlement_date END,
        status = CASE status WHEN 'pending' THEN 'settled' ELSE status END
    WHERE id = :id RETURNING id
""")


@dataclass(frozen=True)
class BeforeRefund:
    """What stands in the ledger when a refund's entry is to be written. Shares of earlier refunds are positive."""

    was_called_off: bool
    known_status: str | None
    fee: Split | None
    earlier: Split


def split_of(row: Row) -> Split:
    """The shares of an entry."""
    return Split(row.platform_fee, row.tax_amount, row.clinic_amount)


async def insert_entry(tx: Transaction, split: Split, values: dict[str, Any]) -> None:
    """Adds an entry."""
    row = {
        "refund_id": None,
        "settlement_date": None,
        **values,
        "total_amount": split.total,
        "platform_fee": split.platform_fee,
        "clinic_amount": split.clinic,
        "tax_amount": split.tax,
    }
    await tx.execute(_INSERT, row)


async def find_entry(tx: Transaction, entry_id: UUID) -> Row | None:
    """An entry by its id."""
    return (await tx.execute(_FIND, {"id": entry_id})).first()


async def fee_of(tx: Transaction, booking_id: UUID) -> Row | None:
    """The booking's active fee entry; there is at most one."""
    return (await tx.execute(_FEE_OF, {"booking_id": booking_id})).first()


async def before_refund(tx: Transaction, entry_id: UUID, booking_id: UUID, payment_id: UUID) -> BeforeRefund:
    """What decides about a refund's entry. Exact under `hold` of the entry and the payment's lock."""
    ids = {"entry_id": entry_id, "booking_id": booking_id, "payment_id": payment_id}
    row = (await tx.execute(_BEFORE_REFUND, ids)).one()
    earlier = Split(row.earlier_platform_fee, row.earlier_tax_amount, row.earlier_clinic_amount).negated()
    fee = None if row.platform_fee is None else split_of(row)
    return BeforeRefund(row.was_called_off, row.known_status, fee, earlier)


async def cancel_entry(tx: Transaction, entry_id: UUID) -> None:
    """A pending entry counts no more."""
    await tx.execute(_CANCEL, {"id": entry_id})


async def settle_entry(tx: Transaction, entry_id: UUID) -> bool:
    """A pending entry is final as of now; whether there is such an entry."""
    return (await tx.execute(_SETTLE, {"id": entry_id})).first() is not None


async def page(
    tx: Transaction, clinic_id: UUID, booking_id: UUID | None, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row]:
    """A clinic's entries, newest first, after the one with this sort key; read along idx_financial_clinic."""
    statement = select(entries).where(entries.c.clinic_id == clinic_id)
    if booking_id:
        statement = statement.where(entries.c.booking_id == booking_id)
    if after:
        statement = statement.where(tuple_(entries.c.created_at, entries.c.id) < after)
    return (await tx.execute(statement.order_by(entries.c.created_at.desc(), entries.c.id.desc()).limit(limit))).all()
