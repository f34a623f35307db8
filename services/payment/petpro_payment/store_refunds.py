"""Adding, locking and submitting refunds, under their payments' row locks. How they move on is in `store_moves`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import text

from petpro_common import telemetry
from petpro_common.db import Row, Rows, Transaction
from petpro_common.wire import BoundStatement
from petpro_payment import store_events
from petpro_payment.domain import Origin, Payment, Refund, RefundStatus
from petpro_payment.store import PAYMENT_COLUMNS, WORK, payment_of_row

# `state` itself is read by the version before, which does not know that word.
_STATE = "CASE WHEN state = 'submitted' AND waiting_since IS NOT NULL THEN 'waiting' ELSE state END"
REFUND_COLUMNS = ", ".join(
    f"{_STATE if name == 'status' else f'refunds.{name}'} AS refund_{name}" for name in Refund._fields
)
_ORIGIN, _STATUS = Refund._fields.index("origin"), Refund._fields.index("status")

# Both rows are read as they are once they are locked, however long that took. Each table is bounded by itself: a plan
# made while one was nearly empty would walk it in the order of the join.
_LOCK = text(f"""
    WITH theirs AS MATERIALIZED (SELECT ARRAY(SELECT payment_id FROM refunds WHERE id = ANY(:ids)) AS payments)
    SELECT {PAYMENT_COLUMNS}, {REFUND_COLUMNS} FROM payments JOIN refunds ON refunds.payment_id = payments.id
    WHERE refunds.id = ANY(:ids) AND refunds.payment_id = ANY(CAST((SELECT payments FROM theirs) AS uuid[]))
        AND payments.id = ANY(CAST((SELECT payments FROM theirs) AS uuid[]))
    ORDER BY payments.id, refunds.id FOR UPDATE OF payments, refunds
""")
# What decides about orders to reserve. Exact under `hold`.
_BEFORE = text("""
    SELECT asked.id, EXISTS (SELECT FROM called_off_orders WHERE id = asked.id OFFSET 0) AS was_called_off,
        (SELECT status FROM refunds WHERE id = asked.id) AS known_status
    FROM unnest(CAST(:ids AS uuid[])) AS asked(id)
""")
_INSERT = text("""
    WITH added AS (
        INSERT INTO refunds (id, payment_id, booking_id, origin, amount, currency, status, reason, must_succeed, trace,
            due_at)
        SELECT id, payment_id, booking_id, origin, amount, currency, status, reason, must_succeed, :trace,
            CASE WHEN status = 'submitted' THEN clock_timestamp() END
        FROM unnest(CAST(:ids AS uuid[]), CAST(:payment_ids AS uuid[]), CAST(:booking_ids AS uuid[]),
                    CAST(:origins AS text[]), CAST(:amounts AS numeric[]), CAST(:currencies AS text[]),
                    CAST(:statuses AS text[]), CAST(:reasons AS text[]), CAST(:musts AS boolean[]))
             AS new(id, payment_id, booking_id, origin, amount, currency, status, reason, must_succeed)
        RETURNING payment_id, amount
    )
    UPDATE payments SET refund_reserved = refund_reserved + added.amount, updated_at = clock_timestamp()
    FROM added WHERE payments.id = added.payment_id AND payments.id = ANY(CAST(:payment_ids AS uuid[]))
""")
_OF_PAYMENT = text(f"SELECT {REFUND_COLUMNS} FROM refunds WHERE payment_id = :payment_id ORDER BY created_at, id")
_WHOLE = text(f"SELECT {REFUND_COLUMNS} FROM refunds WHERE payment_id = :payment_id AND origin <> 'cancellation'")
_SUBMIT = text("""
    UPDATE refunds SET status = 'submitted', command_id = given.command_id, must_succeed = given.must_succeed,
        trace = given.trace, attempts = attempts + CASE WHEN given.lease > 0 THEN 1 ELSE 0 END,
        due_at = clock_timestamp() + make_interval(secs => given.lease), updated_at = clock_timestamp()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:command_ids AS text[]), CAST(:musts AS boolean[]),
                CAST(:traces AS text[]), CAST(:leases AS double precision[]))
         AS given(id, command_id, must_succeed, trace, lease)
    WHERE refunds.id = given.id AND refunds.id = ANY(CAST(:ids AS uuid[]))
""")
_AWAIT_SETTLEMENT = text("""
    UPDATE refunds SET settle_command_id = given.command_id, settle_entry_id = given.entry_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:command_ids AS text[]), CAST(:entry_ids AS uuid[]))
         AS given(id, command_id, entry_id)
    WHERE refunds.id = given.id AND refunds.id = ANY(CAST(:ids AS uuid[]))
""")

reserved_by: WeakKeyDictionary[Transaction, dict[UUID, tuple[Payment, Refund]]] = WeakKeyDictionary()
"""The refunds that a transaction has itself reserved, as they stand by now, with their payments.

Nobody else knows of them before the commit, so the orders that came in the same message do not read them again: `add`
puts them in, `submit` keeps them up to date, and `lock_all` forgets them, since whoever locks may move them.
"""


@dataclass(frozen=True)
class NewRefund:
    """A refund that is to be added, of a locked payment."""

    id: UUID
    payment: Payment
    booking_id: UUID
    origin: Origin
    amount: Decimal
    status: RefundStatus
    reason: str


def refund_of_row(row: Row) -> Refund:
    """The refund that a row holds which begins with REFUND_COLUMNS."""
    values = list(row[: len(Refund._fields)])
    values[_ORIGIN], values[_STATUS] = Origin(values[_ORIGIN]), RefundStatus(values[_STATUS])
    return Refund._make(values)


def both_of_row(row: Row) -> tuple[Payment, Refund]:
    """The payment and the refund that a row holds which begins with PAYMENT_COLUMNS, REFUND_COLUMNS."""
    return payment_of_row(row), refund_of_row(row[len(Payment._fields) :])


async def lock(tx: Transaction, refund_id: UUID) -> tuple[Payment, Refund] | None:
    """A refund and its payment under their row locks; None when there is no such refund."""
    return (await lock_all(tx, [refund_id])).get(refund_id)


async def lock_all(tx: Transaction, refund_ids: Iterable[UUID]) -> dict[UUID, tuple[Payment, Refund]]:
    """Those of the refunds that there are, by id, with their payments; all under their row locks."""
    reserved_by.pop(tx, None)
    return _by_refund(await tx.execute(_LOCK, {"ids": list(refund_ids)}))


async def lock_all_then(
    tx: Transaction, refund_ids: Iterable[UUID], then: BoundStatement
) -> tuple[dict[UUID, tuple[Payment, Refund]], Rows]:
    """What `lock_all` gives, and what a statement does that runs under these locks, in one round trip."""
    rows, found = await tx.execute_all([(_LOCK, {"ids": list(refund_ids)}), then])
    return _by_refund(rows), found


async def lock_all_of(
    tx: Transaction, refund_ids: Sequence[UUID], events: Sequence[tuple[str, str]]
) -> tuple[dict[UUID, tuple[Payment, Refund]], set[tuple[str, str]]]:
    """What `lock_all` gives, and those of the events about the refunds that are known, in one round trip."""
    found, known = await lock_all_then(tx, refund_ids, store_events.known(events))
    return found, store_events.names(known)


async def reserved_or_locked(
    tx: Transaction, refund_ids: Sequence[UUID], *statements: BoundStatement
) -> tuple[dict[UUID, tuple[Payment, Refund]], list[Rows]]:
    """What `lock_all` gives, and what statements do that run under these locks, in one round trip; none without any.

    What is in `reserved_by` is not read again.
    """
    reserved = reserved_by.get(tx, {})
    known = {refund_id: reserved[refund_id] for refund_id in refund_ids if refund_id in reserved}
    left = [refund_id for refund_id in refund_ids if refund_id not in known]
    locks = [(_LOCK, {"ids": left})] if left else []
    if not locks and not statements:
        return known, []
    gave = await tx.execute_all([*locks, *statements])
    return (known | _by_refund(gave[0]), gave[1:]) if locks else (known, gave)


def _by_refund(rows: Rows) -> dict[UUID, tuple[Payment, Refund]]:
    return {row.refund_id: both_of_row(row) for row in rows}


def before(refund_ids: Sequence[UUID]) -> BoundStatement:
    """Asks what stands of refunds that are to be reserved: their `id`, `was_called_off`, and `known_status`.

    Exact under `hold` of the refunds and the payments' locks.
    """
    return _BEFORE, {"ids": list(refund_ids)}


def add(tx: Transaction, new: Sequence[NewRefund]) -> None:
    """Adds refunds, each of another locked payment, and counts them as set aside; `submitted` ones are due at once."""
    if not new:
        return
    if any(refund.status is RefundStatus.SUBMITTED for refund in new):
        tx.tell(WORK)
    columns = {
        "ids": [refund.id for refund in new],
        "payment_ids": [refund.payment.id for refund in new],
        "booking_ids": [refund.booking_id for refund in new],
        "origins": [refund.origin.value for refund in new],
        "amounts": [refund.amount for refund in new],
        "currencies": [refund.payment.currency for refund in new],
        "statuses": [refund.status.value for refund in new],
        "reasons": [refund.reason for refund in new],
        "musts": [refund.origin is not Origin.CANCELLATION for refund in new],
        "trace": telemetry.traceparent(),
    }
    tx.write(_INSERT, columns)
    reserved_by.setdefault(tx, {}).update({refund.id: _added(refund) for refund in new})


def _added(new: NewRefund) -> tuple[Payment, Refund]:
    """A refund as it is once it is added, and its payment."""
    payment = new.payment._replace(refund_reserved=new.payment.refund_reserved + new.amount)
    return payment, Refund(
        id=new.id,
        payment_id=payment.id,
        booking_id=new.booking_id,
        origin=new.origin,
        amount=new.amount,
        currency=payment.currency,
        status=new.status,
        reason=new.reason,
        must_succeed=new.origin is not Origin.CANCELLATION,
        external_reference=None,
        failed_references=[],
        failure_reason=None,
        command_id=None,
        settle_command_id=None,
        settle_entry_id=None,
        paid_out_reference=None,
        attempts=0,
        retries=0,
        postponements=0,
        created_at=payment.now,
        updated_at=payment.now,
        trace=telemetry.traceparent(),
    )


async def refunds_of(tx: Transaction, payment_id: UUID) -> Sequence[Refund]:
    """All refunds of a payment, oldest first."""
    return [refund_of_row(row) for row in await tx.execute(_OF_PAYMENT, {"payment_id": payment_id})]


async def whole_refund(tx: Transaction, payment_id: UUID) -> Refund | None:
    """The refund by which a payment was given back as a whole; there is at most one."""
    row = (await tx.execute(_WHOLE, {"payment_id": payment_id})).first()
    return refund_of_row(row) if row else None


def submit(tx: Transaction, orders: Sequence[Refund], claimed: int, lease_seconds: float) -> None:
    """Has refunds sent to the provider, and their `command_id`, `must_succeed` and `trace` wait for the outcomes.

    The first `claimed` of them are on lease with the caller, the others due at once.
    """
    if not orders:
        return
    reserved = reserved_by.get(tx, {})
    reserved.update({refund.id: (reserved[refund.id][0], refund) for refund in orders if refund.id in reserved})
    if len(orders) > claimed:
        tx.tell(WORK)
    row = {
        "ids": [refund.id for refund in orders],
        "command_ids": [refund.command_id for refund in orders],
        "musts": [refund.must_succeed for refund in orders],
        "traces": [refund.trace for refund in orders],
        "leases": [lease_seconds if number < claimed else 0.0 for number in range(len(orders))],
    }
    tx.write(_SUBMIT, row)


def await_settlement(tx: Transaction, orders: Sequence[tuple[UUID, str, UUID]]) -> None:
    """Has orders wait for the money to be gone. Each is a refund's id, a command id, and an entry's id."""
    if orders:
        ids, command_ids, entry_ids = (list(column) for column in zip(*orders, strict=True))
        tx.write(_AWAIT_SETTLEMENT, {"ids": ids, "command_ids": command_ids, "entry_ids": entry_ids})
