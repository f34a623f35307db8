"""Promise 3 within payment's database: sums, ledger and refunds agree with each other."""

from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant

_NOBODY_ASKS = """
    SELECT id, CASE WHEN due_at IS NULL OR due_at < CURRENT_TIMESTAMP - %(grace)s
        THEN 'is ' || status || ', and nobody asks about it' END AS broken
    FROM batch ORDER BY id
"""


@invariant(3)
def entries_balance(look: Look) -> Findings:
    """The shares of a ledger entry add up to its total. A CHECK holds that too; this looks whether it stands."""
    return look.broken(
        "payment",
        "financial_entries",
        """SELECT id, CASE WHEN platform_fee + clinic_amount + tax_amount <> total_amount
            THEN 'its shares make ' || platform_fee + clinic_amount + tax_amount || ', not ' || total_amount
            END AS broken
        FROM batch ORDER BY id""",
    )


@invariant(3)
def entries_belong_to_their_payments(look: Look) -> Findings:
    """A fee and a refund in the ledger name the payment, the refund and the clinic that they are about.

    Entries are written once and keep what they name.
    """
    return look.broken(
        "payment",
        "financial_entries",
        """SELECT batch.id, CASE WHEN batch.type <> 'adjustment' AND (p.id IS NULL
                OR (batch.booking_id, batch.clinic_id) IS DISTINCT FROM (p.booking_id, p.clinic_id)
                OR (batch.type = 'refund' AND r.payment_id IS DISTINCT FROM p.id))
            THEN 'does not belong to what it names' END AS broken
        FROM batch LEFT JOIN payments p ON p.id = batch.payment_id LEFT JOIN refunds r ON r.id = batch.refund_id
        ORDER BY batch.id""",
    )


@invariant(3)
def payments_count_their_refunds(look: Look) -> Findings:
    """What a payment has set aside and given back is the sum of its refunds, one by one.

    Both change under the payment's lock in one transaction. A refund that waits for a person stays set aside.
    """
    return look.broken(
        "payment",
        "payments",
        """SELECT batch.id, CASE WHEN (refund_reserved, refund_done) <> (reserved, done)
            THEN 'counts ' || refund_reserved || ' and ' || refund_done || ', its refunds are ' || reserved || ' and '
                || done END AS broken
        FROM batch CROSS JOIN LATERAL (SELECT
            coalesce(sum(amount) FILTER (WHERE r.status IN ('reserved', 'submitted', 'pending', 'manual')), 0)
                AS reserved,
            coalesce(sum(amount) FILTER (WHERE r.status = 'succeeded'), 0) AS done
            FROM refunds r WHERE r.payment_id = batch.id) AS sums
        ORDER BY batch.id""",
    )


@invariant(3)
def payments_say_what_they_are(look: Look) -> Findings:
    """The status of a captured payment follows from what has gone back. One statement sets both."""
    return look.broken(
        "payment",
        "payments",
        """SELECT id, CASE WHEN captured > 0 AND status <> CASE WHEN refund_done = 0 THEN 'success'
                WHEN refund_done = captured THEN 'refunded' ELSE 'partially_refunded' END
            THEN 'is ' || status || ' with ' || refund_done || ' of ' || captured || ' given back' END AS broken
        FROM batch ORDER BY id""",
    )


@invariant(3)
def captured_is_what_was_ordered(look: Look) -> Findings:
    """A payment takes its amount, or nothing. What a provider took beyond that is quarantined, and not counted."""
    return look.broken(
        "payment",
        "payments",
        """SELECT id, CASE WHEN captured NOT IN (0, amount) OR (captured > 0 AND paid_at IS NULL)
            OR (captured > 0) <> (amount > 0 AND status IN ('success', 'refunded', 'partially_refunded'))
            THEN 'has taken ' || captured || ' of ' || amount || ' and is ' || status END AS broken
        FROM batch ORDER BY id""",
    )


@invariant(3)
def ledger_keeps_what_payments_keep(look: Look) -> Findings:
    """Captured - given back = the sum of the payment's entries that were not cancelled.

    A payment whose saga has not ended is left out: its entries are on their way. One that was called off, or came
    late, goes back in full without an entry: nothing is kept, and nothing is said. A refund that a bank sent back
    counts like one on its way, in the payment and, settled, in the ledger.
    """
    statement = """
        SELECT batch.id, batch.booking_id, captured - refund_reserved - refund_done AS kept,
            (SELECT coalesce(sum(total_amount), 0) FROM financial_entries e
             WHERE e.booking_id = batch.booking_id AND e.payment_id = batch.id AND e.status <> 'cancelled') AS said
        FROM batch ORDER BY batch.id"""
    for rows in look.batches("payment", "payments", statement, settled=True):
        suspects = [row for row in rows if row["kept"] != row["said"]]
        for row in look.at_rest(suspects, "booking_id"):
            yield str(row["id"]), f"keeps {row['kept']}, the ledger says {row['said']}"


@invariant(3)
def refund_entries_follow_their_refunds(look: Look) -> Findings:
    """An entry takes back what its refund gives, and is settled only once that has gone.

    One that the bank sent back after all waits for a person: the clinic has still given it, and the customer is owed
    it, so its entry stays as it is.
    """
    statement = """
        SELECT batch.id, batch.booking_id, CASE
            WHEN batch.type <> 'refund' OR batch.status = 'cancelled' THEN NULL
            WHEN batch.total_amount <> -r.amount THEN 'takes ' || batch.total_amount || ' for a refund of ' || r.amount
            WHEN r.status IN ('refused', 'released') THEN 'stands for a refund that is ' || r.status
            WHEN batch.status = 'settled' AND r.status NOT IN ('succeeded', 'manual')
                THEN 'is settled, its refund is ' || r.status
            END AS broken
        FROM batch LEFT JOIN refunds r ON r.id = batch.refund_id ORDER BY batch.id"""
    for rows in look.batches("payment", "financial_entries", statement, settled=True):
        suspects = [row for row in rows if row["broken"] is not None]
        for row in look.at_rest(suspects, "booking_id"):
            yield str(row["id"]), row["broken"]


@invariant(3)
def what_was_taken_back_is_not_settled(look: Look) -> Findings:
    """A clinic is paid nothing of a payment that its provider has taken back, until a person has closed that.

    What was settled before that, or began to be, is not held against it: a statement may take eight seconds.
    """
    return look.broken(
        "payment",
        "financial_entries",
        """SELECT batch.id, CASE WHEN s.settled_at > p.quarantined_at + interval '10 seconds'
                AND s.settled_at < coalesce(p.quarantine_closed_at, 'infinity') AND p.quarantined_amount < 0
            THEN 'was settled while payment ' || p.id || ' waited for a person' END AS broken
        FROM batch LEFT JOIN settlements s ON s.id = batch.settlement_id LEFT JOIN payments p ON p.id = batch.payment_id
        ORDER BY batch.id""",
    )


@invariant(4)
def one_refund_a_booking(look: Look) -> Findings:
    """A payment gives back once at the most, whatever state that is in. Refused and released refunds do not count."""
    return look.broken(
        "payment",
        "refunds",
        """SELECT batch.id, CASE WHEN batch.status NOT IN ('refused', 'released') AND EXISTS (
                SELECT FROM refunds other WHERE other.payment_id = batch.payment_id AND other.id <> batch.id
                AND other.status NOT IN ('refused', 'released'))
            THEN 'is not the only refund of booking ' || batch.booking_id END AS broken
        FROM batch ORDER BY batch.id""",
    )


@invariant(4)
def open_payments_are_asked_about(look: Look) -> Findings:
    """Somebody asks the provider about a payment until its end is known: the next time is set, and not long past."""
    return look.broken(
        "payment",
        "payments",
        _NOBODY_ASKS,
        settled=True,
        always="status IN ('pending', 'processing', 'unknown')",
    )


@invariant(4)
def open_refunds_are_asked_about(look: Look) -> Findings:
    """The same for a refund that the provider has, or is about to have. One that waits for a person is not open."""
    return look.broken(
        "payment",
        "refunds",
        _NOBODY_ASKS,
        settled=True,
        always="status IN ('submitted', 'pending')",
    )
