"""Every statement of this service about notifications and names; the other stores have the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from petpro_common.db import Row, Transaction
from petpro_common.ids import new_id
from petpro_notification.domain import APPOINTMENTS, Channel, Type
from petpro_notification.messages import Clinic, Offer
from petpro_notification.tables import catalog_clinics, catalog_services, notifications

# The constraints of a delivery are checked when both are written.
_ADD = text("""
    WITH added AS (
        INSERT INTO notifications (id, user_id, booking_id, type, title, content, metadata, is_read, created_at)
        SELECT id, user_id, booking_id, type, title, content, CAST(facts AS jsonb), false, now()
        FROM unnest(CAST(:ids AS uuid[]), CAST(:user_ids AS uuid[]), CAST(:booking_ids AS uuid[]),
                    CAST(:types AS text[]), CAST(:titles AS text[]), CAST(:contents AS text[]),
                    CAST(:facts AS text[]))
             AS new(id, user_id, booking_id, type, title, content, facts)
    )
    INSERT INTO deliveries (id, notification_id, channel, status, tries, due_at, created_at)
    SELECT id, notification_id, channel, 'pending', CASE WHEN lease IS NULL THEN 0 ELSE 1 END,
        coalesce(clock_timestamp() + lease, now()), now()
    FROM unnest(CAST(:delivery_ids AS uuid[]), CAST(:notification_ids AS uuid[]), CAST(:channels AS text[]),
                CAST(:leases AS interval[]))
         AS delivery(id, notification_id, channel, lease)
""")
# Facts of later rows come after those of earlier ones, and the last of a name counts.
_KNOWN = text("""
    SELECT said.facts, now() AS told_at,
        clinic.name AS clinic, clinic.timezone, service.name AS service, service.duration_minutes
    FROM unnest(CAST(:booking_ids AS uuid[]), CAST(:clinic_ids AS uuid[]), CAST(:service_ids AS uuid[]))
         WITH ORDINALITY AS asked(booking_id, clinic_id, service_id, place)
    CROSS JOIN LATERAL (
        SELECT coalesce(jsonb_object_agg(fact.key, fact.value ORDER BY told.created_at, told.id), '{}') AS facts
        FROM (SELECT * FROM notifications
              WHERE booking_id = asked.booking_id AND type = ANY(CAST(:types AS text[])) OFFSET 0) AS told
        CROSS JOIN jsonb_each(told.metadata) AS fact WHERE fact.value <> 'null') AS said
    LEFT JOIN LATERAL (
        SELECT * FROM catalog_services
        WHERE id = coalesce(asked.service_id, CAST(said.facts->>'service_id' AS uuid)) OFFSET 0) AS service ON true
    LEFT JOIN LATERAL (
        SELECT * FROM catalog_clinics
        WHERE id = coalesce(asked.clinic_id, CAST(said.facts->>'clinic_id' AS uuid), service.clinic_id)
        OFFSET 0) AS clinic ON true
    ORDER BY asked.place
""")
# Messages of one booking come in order, but one that was set aside comes whenever a person has it handled again.
_IS_OUT_OF_DATE = text("""
    SELECT CAST(:starts_at AS timestamptz) <= clock_timestamp()
        OR EXISTS (SELECT FROM notifications WHERE booking_id = :booking_id AND type = :cancelled)
        OR coalesce((
            SELECT (CAST(metadata->>'slot_date' AS date), CAST(metadata->>'slot_time' AS time))
                <> (CAST(:slot_date AS date), CAST(:slot_time AS time))
            FROM notifications WHERE booking_id = :booking_id AND type = ANY(CAST(:types AS text[]))
            ORDER BY created_at DESC, id DESC LIMIT 1), false)
""")


@dataclass(frozen=True)
class Names:
    """What the catalog's names and times are, as far as they are known here."""

    clinic: str | None = None
    timezone: str | None = None
    service: str | None = None
    duration_minutes: int | None = None


@dataclass(frozen=True)
class Known:
    """What was known before somebody is told: facts of the booking, names, and the instant of the transaction."""

    facts: Mapping[str, Any]
    names: Names
    told_at: datetime


@dataclass(frozen=True)
class New:
    """A notification that is to be written."""

    id: UUID
    user_id: UUID
    booking_id: UUID | None
    type: Type
    title: str
    content: str
    facts: Mapping[str, Any]
    known: Known


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
    names: Names


@dataclass(frozen=True)
class NewDelivery:
    """A delivery that is to be written: claimed as by `claim_due` for as long as `lease`, or due."""

    of: New
    channel: Channel
    lease: timedelta | None


def add_notifications(tx: Transaction, new: Sequence[New], deliveries: Sequence[NewDelivery]) -> Sequence[Due]:
    """Writes unread notifications, shown to people as soon as this commits, and their deliveries; a notification has
    one per channel at most (UNIQUE). Those that are claimed are returned."""
    added = [(new_id(), each) for each in deliveries]
    row = {
        "ids": [each.id for each in new],
        "user_ids": [each.user_id for each in new],
        "booking_ids": [each.booking_id for each in new],
        "types": [each.type for each in new],
        "titles": [each.title for each in new],
        "contents": [each.content for each in new],
        "facts": [orjson.dumps(each.facts).decode() for each in new],
        "delivery_ids": [id_ for id_, _ in added],
        "notification_ids": [each.of.id for _, each in added],
        "channels": [each.channel for _, each in added],
        "leases": [each.lease for _, each in added],
    }
    tx.write(_ADD, row)
    return [_claimed(id_, each.of, each.channel) for id_, each in added if each.lease is not None]


def _claimed(id_: UUID, new: New, channel: Channel) -> Due:
    said = (new.user_id, new.booking_id, new.type, new.title, new.content, new.facts)
    return Due(id_, channel, 1, new.id, *said, new.known.told_at, new.known.names)


def set_words(tx: Transaction, id_: UUID, title: str, content: str) -> None:
    """Gives a notification better words; whether it was read stays."""
    tx.write(update(notifications).where(notifications.c.id == id_).values(title=title, content=content))


async def known_of(tx: Transaction, asked: Sequence[tuple[UUID | None, UUID | None, UUID | None]]) -> Sequence[Known]:
    """For each booking, clinic and service, in order: what the booking's customer was told of its time and place, the
    latest word of each fact, and the names. An id that is not told is taken from the facts, a clinic also from its
    service."""
    booking_ids, clinic_ids, service_ids = map(list, zip(*asked, strict=True))
    ids = {"booking_ids": booking_ids, "clinic_ids": clinic_ids, "service_ids": service_ids}
    rows = await tx.execute(_KNOWN, {**ids, "types": list(APPOINTMENTS)})
    return [
        Known(row.facts, Names(row.clinic, row.timezone, row.service, row.duration_minutes), row.told_at)
        for row in rows
    ]


async def is_out_of_date(tx: Transaction, booking_id: UUID, facts: Mapping[str, Any]) -> bool:
    """Whether the booking of a reminder with these facts has begun, was cancelled, or is now at another time."""
    row = {
        "booking_id": booking_id,
        "cancelled": Type.BOOKING_CANCELLED.value,
        "types": list(APPOINTMENTS),
        **{name: facts[name] for name in ("starts_at", "slot_date", "slot_time")},
    }
    is_out: bool = (await tx.execute(_IS_OUT_OF_DATE, row)).scalar_one()
    return is_out


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


def keep_clinic(tx: Transaction, clinic: Clinic) -> None:
    """Keeps what is known of a clinic; an older version than the kept one changes nothing."""
    row = {"id": clinic.id, "name": clinic.name, "timezone": clinic.timezone, "version": clinic.version}
    kept = upsert(catalog_clinics).values(**row)
    newer = kept.on_conflict_do_update(
        index_elements=["id"], set_=row, where=catalog_clinics.c.version < kept.excluded.version
    )
    tx.write(newer)


def keep_offer(tx: Transaction, offer: Offer) -> None:
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
    tx.write(newer)
