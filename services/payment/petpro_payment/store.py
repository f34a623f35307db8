"""Every statement on payments, on what providers told us, and on who acts for a clinic."""

from dataclasses import fields
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, case, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from petpro_common.db import Row, Transaction
from petpro_payment.domain import Disposition, Payment, PaymentStatus
from petpro_payment.outcomes import Captured, Processing
from petpro_payment.providers.provider import ProviderEvent
from petpro_payment.tables import called_off_orders, clinic_members, payments, provider_events

NOW = func.clock_timestamp()
_OPEN = (PaymentStatus.PENDING, PaymentStatus.PROCESSING)
_PAYMENT = [*(payments.c[field.name] for field in fields(Payment) if field.name != "now"), NOW.label("now")]


def _payment(row: Row) -> Payment:
    return Payment(**{**row._asdict(), "status": PaymentStatus(row.status)})


async def hold(tx: Transaction, order_id: UUID) -> None:
    """Until commit, no other transaction handles an order, or its compensation, about this id."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(order_id), 0))))


async def call_off(tx: Transaction, order_id: UUID) -> None:
    """Remembers that an order was compensated before it came. Under `hold`."""
    await tx.execute(insert(called_off_orders).values(id=order_id).on_conflict_do_nothing())


async def was_called_off(tx: Transaction, order_id: UUID) -> bool:
    """Whether the order's compensation came first. Under `hold`."""
    return bool((await tx.execute(select(exists().where(called_off_orders.c.id == order_id)))).scalar())


async def insert_payment(tx: Transaction, values: dict[str, Any]) -> bool:
    """Adds a payment, due at once. False when its id is there already: then nothing changes."""
    statement = insert(payments).values(due_at=NOW, **values).on_conflict_do_nothing().returning(payments.c.id)
    return (await tx.execute(statement)).first() is not None


async def find_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """A payment, as of now, without a lock."""
    row = (await tx.execute(select(*_PAYMENT).where(payments.c.id == payment_id))).first()
    return _payment(row) if row else None


async def lock_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """A payment under its row lock, which every change of it and of its refunds takes first."""
    row = (await tx.execute(select(*_PAYMENT).where(payments.c.id == payment_id).with_for_update())).first()
    return _payment(row) if row else None


async def claim_payments(tx: Transaction, lease_seconds: float, limit: int) -> list[Payment]:
    """Takes due payments on lease, skipping those that another worker holds; from then on they count as asked."""
    due = (
        select(payments.c.id).where(payments.c.due_at <= NOW).order_by(payments.c.due_at).limit(limit)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    calling_off = or_(payments.c.cancel_requested_at.is_not(None), payments.c.deadline <= NOW)
    statement = (
        update(payments)
        .where(payments.c.id == any_(func.array(due.scalar_subquery(), type_=ARRAY(Uuid))))
        .values(
            status=PaymentStatus.PROCESSING,
            attempts=payments.c.attempts + 1,
            asked_at=case((calling_off, payments.c.asked_at), else_=NOW),
            due_at=NOW + timedelta(seconds=lease_seconds),
        )
        .returning(*_PAYMENT)
    )
    return [_payment(row) for row in await tx.execute(statement)]


async def postpone_payment(tx: Transaction, payment_id: UUID, seconds: float) -> None:
    """Has an open payment looked at again after so long, or at its deadline if that is nearer."""
    later = NOW + timedelta(seconds=seconds)
    soonest = case((payments.c.deadline > NOW, func.least(later, payments.c.deadline)), else_=later)
    statement = update(payments).where(payments.c.id == payment_id, payments.c.status.in_(_OPEN)).values(due_at=soonest)
    await tx.execute(statement)


async def reorder_payment(tx: Transaction, payment_id: UUID, command_id: str) -> None:
    """Has another order wait for the outcome. Under the row lock."""
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(command_id=command_id))


async def request_cancel(tx: Transaction, payment_id: UUID, command_id: str) -> Payment:
    """Marks an open payment as called off, due at once. Under the row lock."""
    values = {"cancel_requested_at": NOW, "cancel_command_id": command_id, "due_at": NOW, "updated_at": NOW}
    statement = update(payments).where(payments.c.id == payment_id).values(values).returning(*_PAYMENT)
    return _payment((await tx.execute(statement)).one())


async def note_progress(tx: Transaction, payment_id: UUID, outcome: Processing) -> None:
    """Keeps what the provider said of an open payment. Under the row lock."""
    values = {
        "external_reference": outcome.external_reference,
        "payment_details": {"customer_action": outcome.customer_action},
        "updated_at": NOW,
    }
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(values))


async def capture(tx: Transaction, payment_id: UUID, outcome: Captured) -> None:
    """The money is ours; nothing is asked any more. Under the row lock."""
    values = {
        "status": PaymentStatus.SUCCESS,
        "failure_reason": None,
        "external_reference": outcome.external_reference or None,
        "paid_at": outcome.paid_at,
        "captured": payments.c.amount,
        "payment_token": None,
        "payment_details": None,
        "due_at": None,
        "updated_at": NOW,
    }
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(values))


async def close_unpaid(tx: Transaction, payment_id: UUID, status: PaymentStatus, reason: str, external: str) -> None:
    """No money was taken; nothing is asked any more. Under the row lock."""
    values = {
        "status": status,
        "failure_reason": reason,
        "external_reference": func.coalesce(literal(external or None), payments.c.external_reference),
        "payment_token": None,
        "payment_details": None,
        "due_at": None,
        "updated_at": NOW,
    }
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(values))


async def quarantine(tx: Transaction, payment_id: UUID) -> None:
    """Marks a payment for which the provider took another amount than was ordered. Under the row lock."""
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(quarantined_at=NOW))


async def count_quarantined(tx: Transaction) -> int:
    """How many payments a provider took in another amount than was ordered."""
    quarantined = select(func.count()).where(payments.c.quarantined_at.is_not(None))
    return int((await tx.execute(quarantined)).scalar_one())


async def count_overdue(tx: Transaction, seconds: float) -> int:
    """How many payments are still open so long after their deadline: their provider does not say what it did."""
    too_late = payments.c.deadline < NOW - timedelta(seconds=seconds)
    overdue = select(func.count()).where(payments.c.status.in_(_OPEN), too_late)
    return int((await tx.execute(overdue)).scalar_one())


async def count_refund(tx: Transaction, payment_id: UUID, reserved: Any, done: Any) -> None:
    """Moves the payment's sums by these differences, and its status with them. Under the row lock.

    The CHECK refunds_within_capture refuses what would exceed the captured amount, whatever the code believes.
    """
    sum_done = payments.c.refund_done + done
    status = case(
        (sum_done == 0, PaymentStatus.SUCCESS),
        (sum_done == payments.c.captured, PaymentStatus.REFUNDED),
        else_=PaymentStatus.PARTIALLY_REFUNDED,
    )
    values = {
        "refund_reserved": payments.c.refund_reserved + reserved,
        "refund_done": sum_done,
        "status": status,
        "updated_at": NOW,
    }
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(values))


async def knows_event(tx: Transaction, provider: str, event_id: str) -> bool:
    """Whether the event was recorded before. Exact under the lock of the payment that the event is about."""
    found = exists().where(provider_events.c.provider == provider, provider_events.c.event_id == event_id)
    return bool((await tx.execute(select(found))).scalar())


async def record_event(tx: Transaction, provider: str, event: ProviderEvent, disposition: Disposition) -> None:
    """Keeps what a provider told us, once per event id, for ever."""
    values = {
        "provider": provider,
        "event_id": event.event_id,
        "type": event.type,
        "reference": event.reference,
        "disposition": disposition,
        "payload": dict(event.payload),
    }
    await tx.execute(insert(provider_events).values(values).on_conflict_do_nothing())


async def put_member(tx: Transaction, source_id: UUID, clinic_id: UUID, user_id: UUID | None, version: int) -> None:
    """Keeps who acts for a clinic, unless something newer is known."""
    statement = insert(clinic_members).values(
        source_id=source_id, clinic_id=clinic_id, user_id=user_id, version=version
    )
    newest = statement.on_conflict_do_update(
        index_elements=["source_id"],
        set_={"clinic_id": clinic_id, "user_id": user_id, "version": version},
        where=clinic_members.c.version < version,
    )
    await tx.execute(newest)


async def members(tx: Transaction, clinic_id: UUID) -> list[tuple[UUID, UUID | None]]:
    """(source_id, user_id) of all who are known to act for the clinic."""
    columns = (clinic_members.c.source_id, clinic_members.c.user_id)
    rows = await tx.execute(select(*columns).where(clinic_members.c.clinic_id == clinic_id))
    return [(row.source_id, row.user_id) for row in rows]
