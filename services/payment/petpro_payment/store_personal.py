"""Which rows of payment are about a person, what they are told of them, and what is left when they are erased."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Transaction
from petpro_common.personal import erasure
from petpro_common.personal.held import Held

HELD = (
    Held(
        "payments",
        "id, booking_id, user_id, clinic_id, provider, external_reference, amount, currency, payment_method, status,"
        " failure_reason, deadline, paid_at, captured, refund_reserved, refund_done, quarantined_at,"
        " quarantined_amount, quarantined_currency, quarantine_closed_at, created_at, updated_at",
        secrets="payment_token, payment_details, command_id, cancel_requested_at, cancel_command_id, attempts,"
        " asked_at, due_at, trace",
    ),
    Held(
        "refunds",
        "id, payment_id, booking_id, origin, amount, currency, status, reason, must_succeed, external_reference,"
        " failed_references,"
        " failure_reason, paid_out_reference, created_at, updated_at, unknown_since, waiting_since,"
        " reversed_at, state",
        secrets="command_id, settle_command_id, settle_entry_id, attempts, due_at, retries, postponements, trace",
        theirs="payment_id IN (SELECT id FROM payments WHERE user_id = :user_id)",
    ),
    Held(
        "financial_entries",
        "id, booking_id, clinic_id, payment_id, refund_id, type, total_amount, tax_amount, currency, status,"
        " settlement_date, settlement_id, created_at, updated_at",
        secrets="platform_fee, clinic_amount",
        theirs="booking_id IN (SELECT booking_id FROM payments WHERE user_id = :user_id)",
    ),
    Held("clinic_members", "source_id, clinic_id, user_id, version", key="source_id"),
    erasure.HELD,
)

# Only these refunds have words of a person: the customer's, or the clinic's, which may be about them. The database lets
# nothing but reasons go, and only for this one.
_OF_REFUNDS = """
    SELECT refunds.id FROM refunds JOIN payments ON payments.id = refunds.payment_id
    WHERE payments.user_id = ANY(CAST(:user_ids AS uuid[])) AND refunds.origin = 'cancellation'
      AND refunds.reason NOT IN ('', 'no-show')
"""
# In the order in which all who lock several do; an UPDATE by itself locks them as it comes upon them.
_FORGET_IN_REFUNDS = text(f"""
    UPDATE refunds SET reason = 'erased'
    WHERE id = ANY(ARRAY({_OF_REFUNDS} AND refunds.reason <> 'erased' ORDER BY payments.id, refunds.id
                         FOR UPDATE OF refunds))
""")
_FORGET_IN_ORDERS = text(f"""
    UPDATE money_orders SET reason = 'erased'
    WHERE subject_id IN ({_OF_REFUNDS}) AND verb = 'ReserveRefund' AND reason <> 'erased'
""")


async def forget(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Leaves the books of people who were erased, and no words of theirs. Changes nothing the second time."""
    for statement in (_FORGET_IN_REFUNDS, _FORGET_IN_ORDERS):
        tx.write(statement, {"user_ids": list(user_ids)})
