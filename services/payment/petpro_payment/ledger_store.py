"""Every statement on the clinics' ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from petpro_common.db import Row, Transaction
from petpro_payment.splitting import Split
from petpro_payment.store import NOW
from petpro_payment.tables import financial_entries as entries


def split_of(row: Row) -> Split:
    """The shares of an entry."""
    return Split(row.platform_fee, row.tax_amount, row.clinic_amount)


async def insert_entry(tx: Transaction, split: Split, values: dict[str, Any]) -> None:
    """Adds an entry. One active fee per booking and one active entry per refund are held by unique indexes."""
    shares = {
        "total_amount": split.total,
        "platform_fee": split.platform_fee,
        "clinic_amount": split.clinic,
        "tax_amount": split.tax,
    }
    await tx.execute(insert(entries).values({**values, **shares}))


async def find_entry(tx: Transaction, entry_id: UUID) -> Row | None:
    """An entry by its id."""
    return (await tx.execute(select(entries).where(entries.c.id == entry_id))).first()


async def fee_of(tx: Transaction, booking_id: UUID) -> Row | None:
    """The booking's active fee entry; there is at most one."""
    is_fee = (entries.c.booking_id == booking_id, entries.c.type == "booking_fee", entries.c.status != "cancelled")
    return (await tx.execute(select(entries).where(*is_fee))).first()


async def refund_splits(tx: Transaction, payment_id: UUID) -> list[Split]:
    """The shares, as negative amounts, of the payment's active refund entries. Exact under the payment's lock."""
    is_refund = (entries.c.payment_id == payment_id, entries.c.type == "refund", entries.c.status != "cancelled")
    return [split_of(row) for row in await tx.execute(select(entries).where(*is_refund))]


async def cancel_entry(tx: Transaction, entry_id: UUID) -> None:
    """A pending entry counts no more."""
    await tx.execute(update(entries).where(entries.c.id == entry_id).values(status="cancelled", updated_at=NOW))


async def settle_entry(tx: Transaction, entry_id: UUID) -> None:
    """A pending entry is final as of now; one that is settled keeps its date."""
    pending = (entries.c.id == entry_id, entries.c.status == "pending")
    values = {"status": "settled", "settlement_date": func.current_timestamp(), "updated_at": NOW}
    await tx.execute(update(entries).where(*pending).values(values))


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
