"""Every statement of this service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from petpro_common.db import Row, Transaction
from petpro_notification.domain import APPOINTMENTS, Channel, Outcome, Status, Type
from petpro_notification.messages import Clinic, Offer
from petpro_notification.tables import catalog_clinics, catalog_services, deliveries, notifications

_CLAIM_DUE = text("""
    WITH due AS (
        SELECT id FROM deliveries WHERE status = 'pending' AND due_at <= clock_timestamp()
        ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries AS d SET tries = d.tries + 1, due_at = clock_timestamp() + CAST(:lease AS interval)
    FROM due, notifications AS n WHERE d.id = due.id AND n.id = d.notification_id
    RETURNING d.id, d.channel, d.tries, n.id AS notification_id, n.user_id, n.booking_id, n.type, n.title, n.content,
              n.metadata AS facts, n.created_at
""")


@dataclass(frozen=True)
class Due:
    """A delivery that was claimed for one try, with what it is to say."""

    id: UUID
    channel: str
    tries: int
    notification_id: UUID
    user_id: UUID
    booking_id: UUID | None
    type: Type
    title: str
    content: str
    facts: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class Names:
    """What the catalog's names and times are, as far as they are known here."""

    clinic: str | None = None
    timezone: str | None = None
    service: str | None = None
    duration_minutes: int | None = None


async def add_notification(
    tx: Transaction,
    id_: UUID,
    user_id: UUID,
    booking_id: UUID | None,
    type_: Type,
    title: str,
    content: str,
    facts: Mapping[str, Any],
) -> None:
    """Writes an unread notification; it is shown to the person as soon as this commits."""
    row = {"id": id_, "user_id": user_id, "booking_id": booking_id, "type": type_, "title": title, "content": content}
    await tx.execute(insert(notifications).values(**row, facts=dict(facts), is_read=False, created_at=func.now()))


async def set_words(tx: Transaction, id_: UUID, title: str, content: str) -> None:
    """Gives a notification better words; whether it was read stays."""
    await tx.execute(update(notifications).where(notifications.c.id == id_).values(title=title, content=content))


async def add_delivery(tx: Transaction, id_: UUID, notification_id: UUID, channel: Channel) -> None:
    """Writes a delivery that is due at once; a notification has one per channel at most (UNIQUE)."""
    row = {"id": id_, "notification_id": notification_id, "channel": channel, "status": Status.PENDING, "tries": 0}
    await tx.execute(insert(deliveries).values(**row, due_at=func.now(), created_at=func.now()))


async def appointments_of(tx: Transaction, booking_id: UUID) -> Sequence[Mapping[str, Any]]:
    """The facts of what a booking's customer was told of its time and place, oldest first."""
    found = await tx.execute(
        select(notifications.c.facts)
        .where(notifications.c.booking_id == booking_id, notifications.c.type.in_(APPOINTMENTS))
        .order_by(notifications.c.created_at, notifications.c.id)
    )
    return found.scalars()


async def was_told(tx: Transaction, user_id: UUID, reservation_id: str, types: Sequence[Type]) -> bool:
    """Whether a person was told one of `types` of the reservation. Events of one reservation come one by one."""
    told = select(notifications.c.id).where(
        notifications.c.user_id == user_id,
        notifications.c.type.in_(types),
        notifications.c.facts["reservation_id"].astext == reservation_id,
    )
    return (await tx.execute(told.limit(1))).first() is not None


async def page_of(
    tx: Transaction, user_id: UUID, unread_only: bool, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row]:
    """A person's notifications, newest first, from after the given (created_at, id)."""
    listed = select(notifications).where(notifications.c.user_id == user_id)
    if unread_only:
        listed = listed.where(~notifications.c.is_read)
    if after:
        listed = listed.where(tuple_(notifications.c.created_at, notifications.c.id) < tuple_(*after))
    newest_first = listed.order_by(notifications.c.created_at.desc(), notifications.c.id.desc())
    return (await tx.execute(newest_first.limit(limit))).all()


async def mark_read(tx: Transaction, user_id: UUID, id_: UUID) -> Row | None:
    """Marks a person's own notification as read, keeping the time of the first reading; None when it is not theirs."""
    read = (
        update(notifications)
        .where(notifications.c.id == id_, notifications.c.user_id == user_id)
        .values(is_read=True, read_at=func.coalesce(notifications.c.read_at, func.now()))
        .returning(notifications)
    )
    found: Row | None = (await tx.execute(read)).first()
    return found


async def claim_due(tx: Transaction, batch: int, lease: timedelta) -> Sequence[Due]:
    """Takes due deliveries for one try each; nobody else gets them (SKIP LOCKED) until the lease has run out."""
    rows = (await tx.execute(_CLAIM_DUE, {"batch": batch, "lease": lease})).all()
    return [Due(**{**row._asdict(), "type": Type(row.type)}) for row in rows]


async def record(tx: Transaction, due: Due, outcome: Outcome, pause: timedelta) -> None:
    """Writes what came of a try. A mail that has left is sent, whoever holds the lease now; any other outcome counts
    only while this try is still the newest."""
    told = update(deliveries).where(deliveries.c.id == due.id, deliveries.c.status == Status.PENDING)
    if outcome.status is Status.SENT:
        await tx.execute(told.values(status=Status.SENT, sent_at=func.clock_timestamp(), reason=None))
        return
    values = {"status": outcome.status, "reason": outcome.reason, "due_at": func.clock_timestamp() + pause}
    await tx.execute(told.where(deliveries.c.tries == due.tries).values(**values))


async def keep_clinic(tx: Transaction, clinic: Clinic) -> None:
    """Keeps what is known of a clinic; an older version than the kept one changes nothing."""
    row = {"id": clinic.id, "name": clinic.name, "timezone": clinic.timezone, "version": clinic.version}
    kept = upsert(catalog_clinics).values(**row)
    newer = kept.on_conflict_do_update(
        index_elements=["id"], set_=row, where=catalog_clinics.c.version < kept.excluded.version
    )
    await tx.execute(newer)


async def keep_offer(tx: Transaction, offer: Offer) -> None:
    """Keeps what is known of a clinic's service; an older version than the kept one changes nothing."""
    row = {
        "id": offer.id,
        "clinic_id": offer.clinic_id,
        "name": offer.name,
        "duration_minutes": offer.duration_minutes,
        "version": offer.version,
    }
    kept = upsert(catalog_services).values(**row)
    newer = kept.on_conflict_do_update(
        index_elements=["id"], set_=row, where=catalog_services.c.version < kept.excluded.version
    )
    await tx.execute(newer)


async def names_of(tx: Transaction, clinic_id: UUID | None, service_id: UUID | None) -> Names:
    """The names of a clinic and a service. Where only the service is told, its clinic is taken."""
    service = (await tx.execute(select(catalog_services).where(catalog_services.c.id == service_id))).first()
    at = clinic_id or (service.clinic_id if service else None)
    clinic = (await tx.execute(select(catalog_clinics).where(catalog_clinics.c.id == at))).first()
    return Names(
        clinic=clinic.name if clinic else None,
        timezone=clinic.timezone if clinic else None,
        service=service.name if service else None,
        duration_minutes=service.duration_minutes if service else None,
    )
