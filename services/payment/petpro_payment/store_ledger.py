"""Every statement on the clinics' ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, tuple_

from petpro_common.db import Row, Rows, Transaction
from petpro_common.wire import BoundStatement
from petpro_payment.splitting import Split
from petpro_payment.store_journal import ENTRY_POSTED
from petpro_payment.tables import financial_entries as entries

# One active fee per booking and one active entry per refund are held by unique indexes. The journal has each at once.
_INSERT = text(f"""
    WITH written AS (
        INSERT INTO financial_entries (id, booking_id, clinic_id, payment_id, refund_id, type, currency, total_amount,
                                       platform_fee, clinic_amount, tax_amount)
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:booking_ids AS uuid[]), CAST(:clinic_ids AS uuid[]),
            CAST(:payment_ids AS uuid[]), CAST(:refund_ids AS uuid[]), CAST(:types AS text[]),
            CAST(:currencies AS text[]), CAST(:totals AS numeric[]), CAST(:fees AS numeric[]),
            CAST(:clinics AS numeric[]), CAST(:taxes AS numeric[]))
        RETURNING *
    ),
    recorded AS (
        SELECT written.*, 'entry' AS kind, id AS source_id, NULL AS provider FROM written WHERE total_amount <> 0
    ),
    {ENTRY_POSTED}
""")
_FIND = text("SELECT * FROM financial_entries WHERE id = :id")
_WITH_FEE = text("""
    SELECT booking_id FROM financial_entries
    WHERE booking_id = ANY(:ids) AND type = 'booking_fee' AND status <> 'cancelled'
""")
# Everything by which refunds' entries are decided, each looked up by its booking however many are asked about.
# Exact under the payments' locks and `hold`. (OFFSET 0 has each looked up by its key: a plan made while there is little
# would put all that was ever called off into a table in memory.)
_BEFORE_REFUNDS = text("""
    SELECT asked.entry_id,
        EXISTS (SELECT FROM called_off_orders WHERE id = asked.entry_id OFFSET 0) AS was_called_off,
        (SELECT status FROM financial_entries WHERE id = asked.entry_id) AS known_status,
        fee.platform_fee, fee.tax_amount, fee.clinic_amount,
        earlier.platform_fee AS earlier_platform_fee,
        earlier.tax_amount AS earlier_tax_amount,
        earlier.clinic_amount AS earlier_clinic_amount
    FROM unnest(CAST(:entry_ids AS uuid[]), CAST(:booking_ids AS uuid[]), CAST(:refund_ids AS uuid[]))
         AS asked(entry_id, booking_id, refund_id)
    LEFT JOIN LATERAL (SELECT payment_id FROM refunds WHERE id = asked.refund_id OFFSET 0) refund ON true
    LEFT JOIN LATERAL (
        SELECT platform_fee, tax_amount, clinic_amount FROM financial_entries
        WHERE booking_id = asked.booking_id AND type = 'booking_fee' AND status <> 'cancelled' OFFSET 0) fee ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(platform_fee), 0) AS platform_fee, coalesce(sum(tax_amount), 0) AS tax_amount,
            coalesce(sum(clinic_amount), 0) AS clinic_amount
        FROM financial_entries
        WHERE booking_id = asked.booking_id AND payment_id = refund.payment_id AND type = 'refund'
            AND status <> 'cancelled') earlier
""")
_CANCEL = text(f"""
    WITH cancelled AS (
        UPDATE financial_entries SET status = 'cancelled', updated_at = clock_timestamp() WHERE id = :id RETURNING *
    ),
    recorded AS (
        SELECT 'entry_cancelled' AS kind, id AS source_id, clinic_id, NULL AS provider, currency,
            -total_amount AS total_amount, -platform_fee AS platform_fee, -clinic_amount AS clinic_amount,
            -tax_amount AS tax_amount
        FROM cancelled WHERE total_amount <> 0
    ),
    {ENTRY_POSTED}
""")
_KNOWN = text("SELECT id FROM financial_entries WHERE id = ANY(:ids)")


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


@dataclass(frozen=True)
class NewEntry:
    """An entry that is to be added; it is pending."""

    id: UUID
    booking_id: UUID
    clinic_id: UUID
    payment_id: UUID
    type: str
    currency: str
    split: Split
    refund_id: UUID | None = None


def insert_entries(tx: Transaction, new: Sequence[NewEntry]) -> None:
    """Adds pending entries, and posts them in the journal."""
    if not new:
        return
    columns = {
        "ids": [entry.id for entry in new],
        "booking_ids": [entry.booking_id for entry in new],
        "clinic_ids": [entry.clinic_id for entry in new],
        "payment_ids": [entry.payment_id for entry in new],
        "refund_ids": [entry.refund_id for entry in new],
        "types": [entry.type for entry in new],
        "currencies": [entry.currency for entry in new],
        "totals": [entry.split.total for entry in new],
        "fees": [entry.split.platform_fee for entry in new],
        "clinics": [entry.split.clinic for entry in new],
        "taxes": [entry.split.tax for entry in new],
    }
    tx.write(_INSERT, columns)


async def find_entry(tx: Transaction, entry_id: UUID) -> Row | None:
    """An entry by its id."""
    return (await tx.execute(_FIND, {"id": entry_id})).first()


def with_fee(booking_ids: Sequence[UUID]) -> BoundStatement:
    """Asks which of the bookings have an active fee entry, of which there is at most one; it gives their ids."""
    return _WITH_FEE, {"ids": list(booking_ids)}


def before_refunds(asked: Sequence[tuple[UUID, UUID, UUID]]) -> BoundStatement:
    """Asks what decides about refunds' entries, each by (entry, booking, refund); see `by_entry`.

    Exact under `hold` of the entries and the payments' locks.
    """
    entry_ids, booking_ids, refund_ids = (list(column) for column in zip(*asked, strict=True))
    return _BEFORE_REFUNDS, {"entry_ids": entry_ids, "booking_ids": booking_ids, "refund_ids": refund_ids}


def by_entry(rows: Rows) -> dict[UUID, BeforeRefund]:
    """What `before_refunds` has found, by the entries' ids."""
    return {row.entry_id: _before_refund(row) for row in rows}


def _before_refund(row: Row) -> BeforeRefund:
    earlier = Split(row.earlier_platform_fee, row.earlier_tax_amount, row.earlier_clinic_amount).negated()
    fee = None if row.platform_fee is None else split_of(row)
    return BeforeRefund(row.was_called_off, row.known_status, fee, earlier)


def cancel_entry(tx: Transaction, entry_id: UUID) -> None:
    """A pending entry counts no more, and is undone in the journal."""
    tx.write(_CANCEL, {"id": entry_id})


def known(entry_ids: Sequence[UUID]) -> BoundStatement:
    """Asks which of the entries there are; it gives their ids."""
    return _KNOWN, {"ids": list(entry_ids)}


async def page(
    tx: Transaction, clinic_id: UUID, booking_id: UUID | None, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row]:
    """A clinic's entries, newest first, after the one with this sort key."""
    # Of a booking by its own index: OFFSET 0 keeps the clinic's out of it, which is long.
    of_booking = select(entries).where(entries.c.booking_id == booking_id).offset(0).subquery()
    listed = (of_booking if booking_id else entries).c
    statement = select(*listed).where(listed.clinic_id == clinic_id)
    if after:
        statement = statement.where(tuple_(listed.created_at, listed.id) < after)
    return (await tx.execute(statement.order_by(listed.created_at.desc(), listed.id.desc()).limit(limit))).all()
