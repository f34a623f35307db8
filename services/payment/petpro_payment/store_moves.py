"""How refunds move on, with their payments' sums and the journal. Under the payments' row locks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import LateWrite, Transaction
from petpro_payment.batches import columns
from petpro_payment.domain import Refund, RefundStatus
from petpro_payment.store import COUNT_REFUND, WORK
from petpro_payment.store_journal import posted

# One that has come to rest is asked about no more.
_STEP = """
    UPDATE refunds SET status = given.status,
        external_reference = coalesce(nullif(given.external, ''), external_reference),
        failure_reason = nullif(given.failure, ''), updated_at = clock_timestamp(),
        due_at = CASE WHEN given.status IN ('submitted', 'pending')
                      THEN coalesce(clock_timestamp() + make_interval(secs => nullif(given.pause, 0)), due_at) END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:externals AS text[]),
                CAST(:failures AS text[]), CAST(:pauses AS double precision[]), CAST(:reserved AS numeric[]),
                CAST(:done AS numeric[])) AS given(id, status, external, failure, pause, reserved, done)
    WHERE refunds.id = given.id AND refunds.id = ANY(CAST(:ids AS uuid[]))
"""
# The journal has money that is gone, or that has come back.
_MOVE = text(f"""
    WITH moved AS ({_STEP} RETURNING refunds.id, payment_id, currency, given.reserved, given.done),
    sums AS (SELECT payment_id, sum(reserved) AS reserved, sum(done) AS done FROM moved GROUP BY payment_id),
    counted AS (
        {COUNT_REFUND} AND payments.id = ANY(CAST(:payment_ids AS uuid[]))
        RETURNING payments.id, clinic_id, provider
    ),
    recorded AS (
        SELECT moved.id AS source_id, clinic_id, provider, currency, done,
            CASE WHEN done > 0 THEN 'refund' ELSE 'refund_returned' END AS kind
        FROM moved JOIN counted ON counted.id = moved.payment_id WHERE done <> 0
    ),
    {posted(customer_liability="done", provider_clearing="-done")}
""")
_MARK_UNKNOWN = text("""
    UPDATE refunds SET unknown_since = clock_timestamp(), waiting_since = NULL, failure_reason = NULL,
        updated_at = clock_timestamp()
    WHERE id = :id
""")
_PUT_OFF = text("""
    UPDATE refunds SET waiting_since = coalesce(waiting_since, clock_timestamp()), unknown_since = NULL,
        failure_reason = :cause, postponements = postponements + 1, updated_at = clock_timestamp()
    WHERE id = :id
""")
# Money that a person has paid in another way: not the provider's, but our own.
_PAY_OUT = text(f"""
    WITH moved AS (
        UPDATE refunds SET status = 'succeeded', paid_out_reference = :reference, updated_at = clock_timestamp()
        WHERE id = :id RETURNING id, payment_id, currency, amount
    ),
    sums AS (SELECT payment_id, -amount AS reserved, amount AS done FROM moved),
    counted AS ({COUNT_REFUND} RETURNING clinic_id, provider),
    recorded AS (
        SELECT 'refund_paid_out' AS kind, moved.id AS source_id, clinic_id, NULL AS provider, currency, moved.amount
        FROM moved, counted
    ),
    {posted(customer_liability="amount", payout_clearing="-amount")}
""")
# It must succeed from now on: the saga that ordered it has gone past the step at which it could be refused.
_RETRY = text("""
    UPDATE refunds SET status = 'submitted', retries = retries + 1, must_succeed = true, failure_reason = NULL,
        due_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = :id
""")
# By the ids alone, as `store.postpone_payment`.
_POSTPONE = LateWrite(
    text("""
    UPDATE refunds SET due_at = clock_timestamp() + make_interval(secs => given.seconds)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[])) AS given(id, seconds)
    WHERE refunds.id = given.id AND refunds.id = ANY(CAST(:ids AS uuid[]))
        AND status || '' IN ('submitted', 'pending')
"""),
    columns,
)


@dataclass(frozen=True)
class Moved:
    """What becomes of a refund under its payment's lock, and by how much it moves the payment's sums.

    One that is on its way is looked at after `pause` seconds, or when it was to be looked at anyway.
    """

    refund: Refund
    to: RefundStatus
    external: str
    failure: str
    reserved: Decimal
    done: Decimal
    pause: float = 0.0


def move(tx: Transaction, moved: Moved) -> None:
    """Moves a refund on, and its payment's sums; one that has come to rest is asked about no more.

    What it adds to the sum of what is gone, or takes from it, is posted in the journal.
    """
    tx.write(_MOVE, _moved([moved]))


def move_late(tx: Transaction, moved: Moved) -> None:
    """The same with the commit, together with others. A refund may move once so; `Transaction.flush` lets it again."""
    tx.write_late(_WRITE_MOVES if moved.reserved or moved.done else _WRITE_STEPS, moved)


def mark_unknown(tx: Transaction, refund_id: UUID) -> None:
    """The provider was asked to make it, and nobody knows what it did. Under its payment's row lock."""
    tx.write(_MARK_UNKNOWN, {"id": refund_id})


def put_off(tx: Transaction, refund_id: UUID, cause: str) -> None:
    """The provider has made none and may later: it waits, and has a new key. Under its payment's row lock."""
    tx.write(_PUT_OFF, {"id": refund_id, "cause": cause})


def pay_out(tx: Transaction, refund_id: UUID, reference: str) -> None:
    """A refund that waited for a person has succeeded in another way. Under its payment's row lock."""
    tx.write(_PAY_OUT, {"id": refund_id, "reference": reference})


def retry(tx: Transaction, refund_id: UUID) -> None:
    """A refund that waited for a person is sent to the provider again. Under its payment's row lock."""
    tx.tell(WORK)
    tx.write(_RETRY, {"id": refund_id})


def postpone_refund(tx: Transaction, refund_id: UUID, seconds: float) -> None:
    """Has a refund, if it is on its way by the end of the transaction, looked at again after so long."""
    tx.write_late(_POSTPONE, {"ids": refund_id, "seconds": seconds})


def _moved(rows: Sequence[Moved]) -> Mapping[str, Any]:
    return {
        "ids": [row.refund.id for row in rows],
        "statuses": [row.to.stored.value for row in rows],
        "externals": [row.external for row in rows],
        "failures": [row.failure for row in rows],
        "pauses": [row.pause for row in rows],
        "reserved": [row.reserved for row in rows],
        "done": [row.done for row in rows],
        "payment_ids": [row.refund.payment_id for row in rows],
    }


_WRITE_MOVES = LateWrite(_MOVE, _moved)
_WRITE_STEPS = LateWrite(text(_STEP), _moved)
