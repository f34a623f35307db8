"""Promise 3 within payment's database: the journal is balanced, and says what payments, refunds and ledger say.

Whatever moves money posts it in the same transaction, so one statement finds both or neither.
"""

from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant


@invariant(3)
def journal_balances(look: Look) -> Findings:
    """The lines of a journal transaction sum to nothing, and there are two at the least.

    A trigger holds that too; this looks whether it stands.
    """
    return look.broken(
        "payment",
        "journal_transactions",
        """SELECT batch.id, CASE WHEN total IS DISTINCT FROM 0 OR lines < 2
            THEN lines || ' lines make ' || coalesce(total, 0) END AS broken
        FROM batch CROSS JOIN LATERAL (
            SELECT sum(amount) AS total, count(*) AS lines FROM journal_lines WHERE transaction_id = batch.id) AS sums
        ORDER BY batch.id""",
    )


@invariant(3)
def journal_records_what_there_is(look: Look) -> Findings:
    """A journal transaction names a payment, an entry, a refund or a settlement that there is, in its currency."""
    return look.broken(
        "payment",
        "journal_transactions",
        """SELECT batch.id, CASE WHEN source.currency IS DISTINCT FROM batch.currency
            THEN 'records a ' || kind || ' of ' || source_id || ', which is not there' END AS broken
        FROM batch LEFT JOIN LATERAL (
            SELECT currency FROM payments WHERE kind = 'capture' AND id = source_id
            UNION ALL
            SELECT quarantined_currency FROM payments WHERE kind LIKE 'quarantine%%' AND id = source_id
            UNION ALL
            SELECT currency FROM financial_entries WHERE kind IN ('entry', 'entry_cancelled') AND id = source_id
            UNION ALL
            SELECT currency FROM refunds WHERE kind LIKE 'refund%%' AND id = source_id
            UNION ALL
            SELECT currency FROM settlements WHERE kind = 'settlement' AND id = source_id
        ) AS source ON true ORDER BY batch.id""",
    )


@invariant(3)
def journal_holds_what_payments_hold(look: Look) -> Findings:
    """Of each payment the journal has as owed or shared out what was captured, less what has gone back.

    Whether the provider paid it or a person did in another way.
    """
    return look.broken(
        "payment",
        "payments",
        """SELECT batch.id, CASE WHEN held <> captured - refund_done
            THEN 'holds ' || captured - refund_done || ', the journal says ' || held END AS broken
        FROM batch CROSS JOIN LATERAL (
            SELECT coalesce(sum(l.amount), 0) AS held FROM journal_transactions t
            JOIN journal_lines l ON l.transaction_id = t.id AND l.account IN ('provider_clearing', 'payout_clearing')
            WHERE t.source_id IN (SELECT batch.id UNION ALL SELECT r.id FROM refunds r WHERE r.payment_id = batch.id)
              AND t.kind NOT LIKE 'quarantine%%'
        ) AS journal ORDER BY batch.id""",
    )


@invariant(3)
def journal_shares_as_entries_do(look: Look) -> Findings:
    """Each ledger entry is in the journal by its shares; one that was cancelled comes to nothing there."""
    return look.broken(
        "payment",
        "financial_entries",
        """SELECT batch.id, CASE WHEN (customer, platform, clinic, tax) IS DISTINCT FROM
                (counts * total_amount, -counts * platform_fee, -counts * clinic_amount, -counts * tax_amount)
            THEN 'has other shares in the journal' END AS broken
        FROM batch CROSS JOIN LATERAL (SELECT
                coalesce(sum(l.amount) FILTER (WHERE account = 'customer_liability'), 0) AS customer,
                coalesce(sum(l.amount) FILTER (WHERE account = 'platform_revenue'), 0) AS platform,
                coalesce(sum(l.amount) FILTER (WHERE account = 'clinic_payable'), 0) AS clinic,
                coalesce(sum(l.amount) FILTER (WHERE account = 'tax_payable'), 0) AS tax
            FROM journal_transactions t JOIN journal_lines l ON l.transaction_id = t.id WHERE t.source_id = batch.id
        ) AS journal CROSS JOIN LATERAL (SELECT (batch.status <> 'cancelled')::integer AS counts) AS alive
        ORDER BY batch.id""",
    )


@invariant(3)
def settlements_are_their_entries(look: Look) -> Findings:
    """A settlement pays what its entries sum to, was posted so, and somebody has said why. One transaction."""
    return look.broken(
        "payment",
        "settlements",
        """SELECT batch.id, CASE
            WHEN (batch.entry_count, batch.total_amount, batch.clinic_amount) IS DISTINCT FROM
                (sums.entries, sums.total, sums.clinic)
                THEN 'pays ' || batch.clinic_amount || ' for ' || batch.entry_count || ' entries, which are '
                    || sums.entries || ' over ' || coalesce(sums.clinic, 0)
            WHEN posted.amount <> batch.clinic_amount
                THEN 'pays ' || batch.clinic_amount || ', the journal says ' || posted.amount
            WHEN NOT EXISTS (SELECT FROM money_operations WHERE subject_id = batch.id) THEN 'was made by nobody'
            END AS broken
        FROM batch CROSS JOIN LATERAL (
            SELECT count(*) AS entries, sum(total_amount) AS total, sum(clinic_amount) AS clinic
            FROM financial_entries e WHERE e.settlement_id = batch.id AND e.status = 'settled'
              AND (e.clinic_id, e.currency) = (batch.clinic_id, batch.currency)) AS sums
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(l.amount), 0) AS amount FROM journal_transactions t
            JOIN journal_lines l ON l.transaction_id = t.id AND l.account = 'clinic_payable'
            WHERE t.source_id = batch.id) AS posted
        ORDER BY batch.id""",
    )
