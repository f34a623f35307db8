"""Every statement on refunds. Each change happens under the row lock of the refund's payment."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from petpro_common.db import Row, Transaction
from petpro_payment.domain import Origin, Refund, RefundStatus
from petpro_payment.store import NOW
from petpro_payment.tables import payments, refunds

_REFUND = [refunds.c[field.name] for field in fields(Refund)]
_ASKING = (RefundStatus.SUBMITTED, RefundStatus.PENDING)


def _refund(row: Row) -> Refund:
    return Refund(**{**row._asdict(), "status": RefundStatus(row.status), "origin": Origin(row.origin)})


async def insert_refund(tx: Transaction, values: dict[str, Any]) -> None:
    """Adds a refund; a `submitted` one is due at once."""
    due_at = NOW if values["status"] == RefundStatus.SUBMITTED else None
    await tx.execute(insert(refunds).values(due_at=due_at, **values))


async def find_refund(tx: Transaction, refund_id: UUID) -> Refund | None:
    """A refund. It cannot change while the caller holds its payment's lock."""
    row = (await tx.execute(select(*_REFUND).where(refunds.c.id == refund_id))).first()
    return _refund(row) if row else None


async def payment_of(tx: Transaction, refund_id: UUID) -> UUID | None:
    """The payment that a refund belongs to, which never changes."""
    found: UUID | None = (await tx.execute(select(refunds.c.payment_id).where(refunds.c.id == refund_id))).scalar()
    return found


async def refunds_of(tx: Transaction, payment_id: UUID) -> Sequence[Refund]:
    """All refunds of a payment, oldest first."""
    statement = select(*_REFUND).where(refunds.c.payment_id == payment_id).order_by(refunds.c.created_at, refunds.c.id)
    return [_refund(row) for row in await tx.execute(statement)]


async def whole_refund(tx: Transaction, payment_id: UUID) -> Refund | None:
    """The refund by which a payment was given back as a whole; there is at most one."""
    statement = select(*_REFUND).where(refunds.c.payment_id == payment_id, refunds.c.origin != Origin.CANCELLATION)
    row = (await tx.execute(statement)).first()
    return _refund(row) if row else None


async def submit(tx: Transaction, refund_id: UUID, command_id: str, must_succeed: bool) -> None:
    """Has the worker send the refund to the provider at once, and this order wait for the outcome."""
    values = {
        "status": RefundStatus.SUBMITTED,
        "command_id": command_id,
        "must_succeed": must_succeed,
        "due_at": NOW,
        "updated_at": NOW,
    }
    await tx.execute(update(refunds).where(refunds.c.id == refund_id).values(values))


async def await_settlement(tx: Transaction, refund_id: UUID, command_id: str, entry_id: UUID) -> None:
    """Has this order wait for the money to be gone."""
    values = {"settle_command_id": command_id, "settle_entry_id": entry_id}
    await tx.execute(update(refunds).where(refunds.c.id == refund_id).values(values))


async def set_status(tx: Transaction, refund_id: UUID, status: RefundStatus, external: str, failure: str) -> None:
    """Moves a refund on; one that has come to rest is no longer asked about."""
    values = {
        "status": status,
        "external_reference": func.coalesce(literal(external or None), refunds.c.external_reference),
        "failure_reason": failure or None,
        "due_at": refunds.c.due_at if status in _ASKING else None,
        "updated_at": NOW,
    }
    await tx.execute(update(refunds).where(refunds.c.id == refund_id).values(values))


async def claim_refunds(tx: Transaction, lease_seconds: float, limit: int) -> list[Refund]:
    """Takes due refunds on lease, skipping those that another worker holds."""
    due = (
        select(refunds.c.id).where(refunds.c.due_at <= NOW).order_by(refunds.c.due_at).limit(limit)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    statement = (
        update(refunds)
        .where(refunds.c.id == any_(func.array(due.scalar_subquery(), type_=ARRAY(Uuid))))
        .values(attempts=refunds.c.attempts + 1, due_at=NOW + timedelta(seconds=lease_seconds))
        .returning(*_REFUND)
    )
    return [_refund(row) for row in await tx.execute(statement)]


async def postpone_refund(tx: Transaction, refund_id: UUID, seconds: float) -> None:
    """Has a refund that is on its way looked at again after so long."""
    still_asking = (refunds.c.id == refund_id, refunds.c.status.in_(_ASKING))
    await tx.execute(update(refunds).where(*still_asking).values(due_at=NOW + timedelta(seconds=seconds)))


async def count_manual(tx: Transaction) -> int:
    """How many refunds wait for a person."""
    manual = select(func.count()).where(refunds.c.status == RefundStatus.MANUAL)
    return int((await tx.execute(manual)).scalar_one())


async def seconds_to_next_due(tx: Transaction) -> float | None:
    """Until the next payment or refund is due; None when none waits."""
    soonest = func.least(
        select(func.min(payments.c.due_at)).where(payments.c.due_at.is_not(None)).scalar_subquery(),
        select(func.min(refunds.c.due_at)).where(refunds.c.due_at.is_not(None)).scalar_subquery(),
    )
    seconds = (await tx.execute(select(func.extract("epoch", soonest - NOW)))).scalar()
    return None if seconds is None else float(seconds)
