"""Every statement on refunds. Each change happens under the row lock of the refund's payment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import Row, Transaction
from petpro_payment.domain import Origin, Payment, Refund, RefundStatus
from petpro_payment.store import COUNT_REFUND, PAYMENT_COLUMNS, WORK, payment_of_row

_FIELDS = [field.name for field in fields(Refund)]
_COLUMNS = ", ".join(f"refunds.{name} AS refund_{name}" for name in _FIELDS)

# Both rows are read as they are once they are locked, however long that took.
_LOCK = text(f"""
    SELECT {PAYMENT_COLUMNS}, {_COLUMNS} FROM payments JOIN refunds ON refunds.payment_id = payments.id
    WHERE refunds.id = :id FOR UPDATE OF payments, refunds
""")
# Nothing is reserved that was called off before it came, and nothing twice. Under `hold` and the payment's lock.
_INSERT = text(f"""
    WITH added AS (
        INSERT INTO refunds (id, payment_id, booking_id, origin, amount, currency, status, reason, must_succeed, due_at)
        SELECT :id, :payment_id, :booking_id, CAST(:origin AS text), :amount, CAST(:currency AS text),
            CAST(:status AS text), CAST(:reason AS text), :must_succeed,
            CASE WHEN CAST(:status AS text) = 'submitted' THEN clock_timestamp() END
        WHERE NOT EXISTS (SELECT FROM called_off_orders WHERE id = :id)
        ON CONFLICT DO NOTHING RETURNING id
    )
    {COUNT_REFUND} FROM added WHERE payments.id = :payment_id RETURNING payments.id
""")
_FIND = text(f"SELECT {_COLUMNS} FROM refunds WHERE id = :id")
_PAYMENT_OF = text("SELECT payment_id FROM refunds WHERE id = :id")
_OF_PAYMENT = text(f"SELECT {_COLUMNS} FROM refunds WHERE payment_id = :payment_id ORDER BY created_at, id")
_WHOLE = text(f"SELECT {_COLUMNS} FROM refunds WHERE payment_id = :payment_id AND origin <> 'cancellation'")
_SUBMIT = text("""
    UPDATE refunds SET status = 'submitted', command_id = :command_id, must_succeed = :must_succeed,
        due_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = :id
""")
_AWAIT_SETTLEMENT = text("""
    UPDATE refunds SET settle_command_id = :command_id, settle_entry_id = :entry_id WHERE id = :id
""")
# One that has come to rest is asked about no more.
_MOVE = text(f"""
    WITH moved AS (
        UPDATE refunds SET status = CAST(:to AS text), external_reference = coalesce(:external, external_reference),
            failure_reason = :failure, updated_at = clock_timestamp(),
            due_at = CASE WHEN CAST(:to AS text) IN ('submitted', 'pending') THEN due_at END
        WHERE id = :id RETURNING payment_id
    )
    {COUNT_REFUND} FROM moved WHERE payments.id = moved.payment_id
""")
_CLAIM = text(f"""
    UPDATE refunds SET attempts = refunds.attempts + 1,
        due_at = clock_timestamp() + make_interval(secs => CAST(:lease AS double precision))
    FROM payments
    WHERE payments.id = refunds.payment_id AND refunds.id = ANY(ARRAY(
        SELECT id FROM refunds WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED))
    RETURNING {_COLUMNS}, payments.provider, payments.external_reference AS payment_reference
""")
_POSTPONE = text("""
    UPDATE refunds SET due_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision))
    WHERE id = :id AND status IN ('submitted', 'pending')
""")
_COUNT_MANUAL = text("SELECT count(*) FROM refunds WHERE status = 'manual'")
_NEXT_DUE = text("""
    SELECT extract(epoch FROM least((SELECT min(due_at) FROM payments WHERE due_at IS NOT NULL),
                                    (SELECT min(due_at) FROM refunds WHERE due_at IS NOT NULL)) - clock_timestamp())
""")


@dataclass(frozen=True)
class Errand:
    """A refund that is to be asked about, and where: `payment_reference` is the provider's own of the payment."""

    refund: Refund
    provider: str
    payment_reference: str | None


def _refund(row: Row) -> Refund:
    columns = {name: getattr(row, f"refund_{name}") for name in _FIELDS}
    known = {"status": RefundStatus(columns["status"]), "origin": Origin(columns["origin"])}
    return Refund(**{**columns, **known})


async def lock(tx: Transaction, refund_id: UUID) -> tuple[Payment, Refund] | None:
    """A refund and its payment under their row locks; None when there is no such refund."""
    row = (await tx.execute(_LOCK, {"id": refund_id})).first()
    return (payment_of_row(row), _refund(row)) if row else None


async def add(tx: Transaction, values: Mapping[str, Any], reserved: Decimal) -> bool:
    """Adds a refund and counts it as set aside; a `submitted` one is due at once.

    False, and nothing changes, when it is there already or was called off before.
    """
    if values["status"] == RefundStatus.SUBMITTED:
        tx.tell(WORK)
    return (await tx.execute(_INSERT, {**values, "reserved": reserved, "done": Decimal(0)})).first() is not None


async def find_refund(tx: Transaction, refund_id: UUID) -> Refund | None:
    """A refund. It cannot change while the caller holds its payment's lock."""
    row = (await tx.execute(_FIND, {"id": refund_id})).first()
    return _refund(row) if row else None


async def payment_of(tx: Transaction, refund_id: UUID) -> UUID | None:
    """The payment that a refund belongs to, which never changes."""
    found: UUID | None = (await tx.execute(_PAYMENT_OF, {"id": refund_id})).scalar()
    return found


async def refunds_of(tx: Transaction, payment_id: UUID) -> Sequence[Refund]:
    """All refunds of a payment, oldest first."""
    return [_refund(row) for row in await tx.execute(_OF_PAYMENT, {"payment_id": payment_id})]


async def whole_refund(tx: Transaction, payment_id: UUID) -> Refund | None:
    """The refund by which a payment was given back as a whole; there is at most one."""
    row = (await tx.execute(_WHOLE, {"payment_id": payment_id})).first()
    return _refund(row) if row else None


async def submit(tx: Transaction, refund_id: UUID, command_id: str, must_succeed: bool) -> None:
    """Has the worker send the refund to the provider at once, and this order wait for the outcome."""
    tx.tell(WORK)
    await tx.execute(_SUBMIT, {"id": refund_id, "command_id": command_id, "must_succeed": must_succeed})


async def await_settlement(tx: Transaction, refund_id: UUID, command_id: str, entry_id: UUID) -> None:
    """Has this order wait for the money to be gone."""
    await tx.execute(_AWAIT_SETTLEMENT, {"id": refund_id, "command_id": command_id, "entry_id": entry_id})


async def move(
    tx: Transaction,
    refund_id: UUID,
    to: RefundStatus,
    external: str,
    failure: str,
    sums: Mapping[str, Decimal],
) -> None:
    """Moves a refund on, and its payment's sums by `store.counts`; one that has come to rest is asked about no more."""
    row = {"id": refund_id, "to": to.value, "external": external or None, "failure": failure or None}
    await tx.execute(_MOVE, {**row, **sums})


async def claim_refunds(tx: Transaction, lease_seconds: float, limit: int) -> list[Errand]:
    """Takes due refunds on lease, skipping those that another worker holds."""
    rows = await tx.execute(_CLAIM, {"lease": lease_seconds, "limit": limit})
    return [Errand(_refund(row), row.provider, row.payment_reference) for row in rows]


async def postpone_refund(tx: Transaction, refund_id: UUID, seconds: float) -> None:
    """Has a refund that is on its way looked at again after so long."""
    await tx.execute(_POSTPONE, {"id": refund_id, "seconds": seconds})


async def count_manual(tx: Transaction) -> int:
    """How many refunds wait for a person."""
    return int((await tx.execute(_COUNT_MANUAL)).scalar_one())


async def seconds_to_next_due(tx: Transaction) -> float | None:
    """Until the next payment or refund is due; None when none waits."""
    seconds = (await tx.execute(_NEXT_DUE)).scalar()
    return None if seconds is None else float(seconds)
