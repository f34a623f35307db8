"""Statements on payments, and on who acts for a clinic."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from petpro_common import telemetry
from petpro_common.db import LateWrite, Row, Rows, Transaction
from petpro_common.money import Money
from petpro_common.wire import BoundStatement
from petpro_payment import store_events
from petpro_payment.batches import columns
from petpro_payment.domain import Payment, PaymentStatus
from petpro_payment.outcomes import Captured, Processing
from petpro_payment.store_journal import posted

WORK = "payments or refunds are due"
"""What a transaction tells the worker that has made one due at once."""

PAYMENT_COLUMNS = ", ".join(
    "clock_timestamp() AS now" if name == "now" else f"payments.{name}" for name in Payment._fields
)
_STATUS = Payment._fields.index("status")

# An order and its compensation may come at once, to two replicas, before there is a row to lock.
_HOLD = text("""
    SELECT pg_advisory_xact_lock(hashtextextended(order_id, 0))
    FROM (SELECT unnest(CAST(:order_ids AS text[])) AS order_id ORDER BY 1) AS sorted
""")
_CALL_OFF = text("INSERT INTO called_off_orders (id) VALUES (:id) ON CONFLICT DO NOTHING")
_WAS_CALLED_OFF = text("SELECT EXISTS (SELECT FROM called_off_orders WHERE id = :id)")
# Nothing is added that was called off before it came, and nothing twice. One on lease is as if claimed. Under `hold`.
_INSERT_PAYMENT = text("""
    INSERT INTO payments (id, booking_id, user_id, clinic_id, provider, amount, currency, payment_method, payment_token,
                          deadline, command_id, trace, status, attempts, asked_at, due_at)
    SELECT CAST(:id AS uuid), CAST(:booking_id AS uuid), CAST(:user_id AS uuid), CAST(:clinic_id AS uuid), :provider,
        CAST(:amount AS numeric), :currency, :payment_method, :payment_token, CAST(:deadline AS timestamptz),
        :command_id, :trace, claim.status, claim.attempts, claim.asked_at, claim.due_at
    FROM (SELECT CAST(:lease AS double precision) AS lease) AS given CROSS JOIN LATERAL (
        SELECT 'pending', 0, CAST(NULL AS timestamptz), clock_timestamp() WHERE lease IS NULL
        UNION ALL
        SELECT 'processing', 1, CASE WHEN CAST(:deadline AS timestamptz) <= clock_timestamp() THEN NULL
                                     ELSE clock_timestamp() END,
            clock_timestamp() + make_interval(secs => lease)
        WHERE lease IS NOT NULL
    ) AS claim(status, attempts, asked_at, due_at)
    WHERE NOT EXISTS (SELECT FROM called_off_orders WHERE id = CAST(:id AS uuid))
    ON CONFLICT DO NOTHING RETURNING id
""")
_FIND_PAYMENT = text(f"SELECT {PAYMENT_COLUMNS} FROM payments WHERE id = :id")
# In one order everywhere, so that two batches do not wait for each other in a circle.
_LOCK_PAYMENTS = text(f"SELECT {PAYMENT_COLUMNS} FROM payments WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
# By the ids alone: `|| ''` keeps off the index of what is open, which a plan made while nothing was would read whole.
_POSTPONE_PAYMENT = LateWrite(
    text("""
    WITH later AS (
        SELECT id, clock_timestamp() + make_interval(secs => seconds) AS at
        FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[])) AS given(id, seconds))
    UPDATE payments
    SET due_at = CASE WHEN deadline > clock_timestamp() THEN least(later.at, deadline) ELSE later.at END
    FROM later WHERE payments.id = later.id AND payments.id = ANY(CAST(:ids AS uuid[]))
        AND status || '' IN ('pending', 'processing', 'unknown')
"""),
    columns,
)
_MARK_UNKNOWN = text("UPDATE payments SET status = 'unknown', updated_at = clock_timestamp() WHERE id = :id")
_LEAVE_TO_CLINIC = text("UPDATE payments SET status = 'at_clinic', payment_token = NULL, due_at = NULL WHERE id = :id")
_REORDER_PAYMENT = text("UPDATE payments SET command_id = :command_id WHERE id = :id")
_REQUEST_CANCEL = text(f"""
    UPDATE payments SET cancel_requested_at = clock_timestamp(), cancel_command_id = :command_id,
        due_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = :id RETURNING {PAYMENT_COLUMNS}
""")
_NOTE_PROGRESS = text("""
    UPDATE payments SET status = 'processing', external_reference = :external_reference,
        payment_details = coalesce(CAST(:payment_details AS jsonb), payment_details), updated_at = clock_timestamp()
    WHERE id = :id
""")
_CAPTURE = text(f"""
    WITH captured AS (
        UPDATE payments SET status = 'success', failure_reason = NULL, external_reference = :external_reference,
            paid_at = :paid_at, captured = amount, payment_token = NULL, payment_details = NULL, due_at = NULL,
            updated_at = clock_timestamp()
        WHERE id = :id RETURNING id, clinic_id, provider, currency, captured
    ),
    recorded AS (
        SELECT 'capture' AS kind, id AS source_id, clinic_id, provider, currency, captured FROM captured
        WHERE captured > 0
    ),
    {posted(provider_clearing="captured", customer_liability="-captured")}
""")
_CLOSE_UNPAID = text("""
    UPDATE payments SET status = :status, failure_reason = :reason,
        external_reference = coalesce(:external_reference, external_reference), payment_token = NULL,
        payment_details = NULL, due_at = NULL, updated_at = clock_timestamp()
    WHERE id = :id
""")
_QUARANTINE = text(f"""
    WITH quarantined AS (
        UPDATE payments SET quarantined_at = clock_timestamp(), quarantined_amount = :amount,
            quarantined_currency = :currency, updated_at = clock_timestamp()
        WHERE id = :id RETURNING *
    ),
    recorded AS (
        SELECT 'quarantine' AS kind, id AS source_id, clinic_id, provider, quarantined_currency AS currency,
            quarantined_amount
        FROM quarantined WHERE quarantined_amount > 0
    ),
    {posted(provider_clearing="quarantined_amount", customer_liability="-quarantined_amount")}
""")
# Moves a payment's sums by those of its refunds (CTE `sums`), and the status with them; the CHECK
# refunds_within_capture refuses what would exceed the captured amount, whatever the code believes.
COUNT_REFUND = """
    UPDATE payments SET refund_reserved = refund_reserved + sums.reserved, refund_done = refund_done + sums.done,
        status = CASE refund_done + sums.done WHEN 0 THEN 'success' WHEN captured THEN 'refunded'
                                              ELSE 'partially_refunded' END,
        updated_at = clock_timestamp()
    FROM sums WHERE payments.id = sums.payment_id
"""
_PUT_MEMBER = text("""
    INSERT INTO clinic_members (source_id, clinic_id, user_id, version)
    VALUES (:source_id, :clinic_id, :user_id, :version)
    ON CONFLICT (source_id) DO UPDATE
        SET clinic_id = excluded.clinic_id, user_id = excluded.user_id, version = excluded.version
        WHERE clinic_members.version < excluded.version
""")
_MEMBERS = text("SELECT source_id, user_id FROM clinic_members WHERE clinic_id = :clinic_id")


def payment_of_row(row: Row) -> Payment:
    """The payment that a row holds which begins with PAYMENT_COLUMNS."""
    values = list(row[: len(Payment._fields)])
    values[_STATUS] = PaymentStatus(values[_STATUS])
    return Payment._make(values)


def hold(tx: Transaction, *order_ids: UUID) -> None:
    """Until commit, no other transaction handles an order, or its compensation, about these ids."""
    tx.write(_HOLD, {"order_ids": [str(order_id) for order_id in order_ids]})


def call_off(tx: Transaction, order_id: UUID) -> None:
    """Remembers that an order was compensated before it came. Under `hold`."""
    tx.write(_CALL_OFF, {"id": order_id})


async def was_called_off(tx: Transaction, order_id: UUID) -> bool:
    """Whether the order's compensation came first. Under `hold`."""
    return bool((await tx.execute(_WAS_CALLED_OFF, {"id": order_id})).scalar())


async def add_payment(
    tx: Transaction, values: Mapping[str, Any], lease_seconds: float | None = None
) -> tuple[Payment | None, bool]:
    """Adds a payment in the trace in hand, unless it is there or was called off before. Under `hold`.

    It is on lease with the caller for so long, as if claimed, else due at once. The payment under its row lock, None
    when it was called off; and whether it is new.
    """
    if lease_seconds is None:
        tx.tell(WORK)
    insert = _INSERT_PAYMENT, {**values, "trace": telemetry.traceparent(), "lease": lease_seconds}
    added, found = await tx.execute_all([insert, (_LOCK_PAYMENTS, {"ids": [values["id"]]})])
    return next(map(payment_of_row, found), None), bool(added.all())


async def find_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """A payment, as of now, without a lock."""
    return next(map(payment_of_row, await tx.execute(_FIND_PAYMENT, {"id": payment_id})), None)


async def lock_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """A payment under its row lock, which every change of it and of its refunds takes first."""
    return (await lock_payments(tx, [payment_id])).get(payment_id)


async def lock_payments_then(
    tx: Transaction, payment_ids: Sequence[UUID], then: BoundStatement
) -> tuple[dict[UUID, Payment], Rows]:
    """What `lock_payments` gives, and what a statement does that runs under these locks, in one round trip."""
    rows, found = await tx.execute_all([(_LOCK_PAYMENTS, {"ids": list(payment_ids)}), then])
    return {row.id: payment_of_row(row) for row in rows}, found


async def lock_payments(tx: Transaction, payment_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """Those of the payments that there are, by id, under their row locks."""
    rows = await tx.execute(_LOCK_PAYMENTS, {"ids": list(payment_ids)})
    return {row.id: payment_of_row(row) for row in rows}


def postpone_payment(tx: Transaction, payment_id: UUID, seconds: float) -> None:
    """Has a payment, if it is open by the end of the transaction, looked at after so long, or at a nearer deadline."""
    tx.write_late(_POSTPONE_PAYMENT, {"ids": payment_id, "seconds": seconds})


def reorder_payment(tx: Transaction, payment_id: UUID, command_id: str) -> None:
    """Has another order wait for the outcome. Under the row lock."""
    tx.write(_REORDER_PAYMENT, {"id": payment_id, "command_id": command_id})


async def request_cancel(tx: Transaction, payment_id: UUID, command_id: str) -> Payment:
    """Marks an open payment as called off, due at once. Under the row lock."""
    tx.tell(WORK)
    return payment_of_row((await tx.execute(_REQUEST_CANCEL, {"id": payment_id, "command_id": command_id})).one())


def leave_to_clinic(tx: Transaction, payment_id: UUID) -> None:
    """The clinic takes the money; nobody is asked about it. Under `hold`."""
    tx.write(_LEAVE_TO_CLINIC, {"id": payment_id})


def mark_unknown(tx: Transaction, payment_id: UUID) -> None:
    """The provider was asked, and nobody knows what it did. Under the row lock."""
    tx.write(_MARK_UNKNOWN, {"id": payment_id})


def note_progress(tx: Transaction, payment_id: UUID, outcome: Processing) -> None:
    """Keeps what the provider said of an open payment; what it did not repeat stands. Under the row lock."""
    action = outcome.customer_action
    details = orjson.dumps({"customer_action": action}).decode() if action else None
    row = {"id": payment_id, "external_reference": outcome.external_reference, "payment_details": details}
    tx.write(_NOTE_PROGRESS, row)


def capture(tx: Transaction, payment_id: UUID, outcome: Captured) -> None:
    """The money is taken, and posted in the journal; nothing is asked any more. Under the row lock."""
    row = {"id": payment_id, "external_reference": outcome.external_reference or None, "paid_at": outcome.paid_at}
    tx.write(_CAPTURE, row)


def close_unpaid(tx: Transaction, payment_id: UUID, status: PaymentStatus, reason: str, external: str) -> None:
    """No money was taken; nothing is asked any more. Under the row lock."""
    row = {"id": payment_id, "status": status.value, "reason": str(reason), "external_reference": external or None}
    tx.write(_CLOSE_UNPAID, row)


def quarantine(tx: Transaction, payment_id: UUID, taken: Money) -> None:
    """Marks a payment of which the provider has another amount, and posts as owed what it took beyond the captured.

    Below zero where that is less, or was taken back, and nothing is posted. Under the row lock.
    """
    tx.write(_QUARANTINE, {"id": payment_id, "amount": taken.amount, "currency": taken.currency})


async def lock_all_of(
    tx: Transaction, payment_ids: Sequence[UUID], events: Sequence[tuple[str, str]]
) -> tuple[dict[UUID, Payment], set[tuple[str, str]]]:
    """Payments under their row locks, and those of the events about them that are known, in one round trip."""
    found, known = await lock_payments_then(tx, payment_ids, store_events.known(events))
    return found, store_events.names(known)


def put_member(tx: Transaction, source_id: UUID, clinic_id: UUID, user_id: UUID | None, version: int) -> None:
    """Keeps who acts for a clinic, unless something newer is known."""
    row = {"source_id": source_id, "clinic_id": clinic_id, "user_id": user_id, "version": version}
    tx.write(_PUT_MEMBER, row)


async def members(tx: Transaction, clinic_id: UUID) -> list[tuple[UUID, UUID | None]]:
    """(source_id, user_id) of all who are known to act for the clinic."""
    return [(row.source_id, row.user_id) for row in await tx.execute(_MEMBERS, {"clinic_id": clinic_id})]
