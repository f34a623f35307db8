"""Every statement about devices, and about which of them have taken a push."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, select, text

from petpro_common.db import Row, Transaction
from petpro_common.ids import new_id
from petpro_notification.domain import DeviceKind
from petpro_notification.tables import devices

# One registration of a person at a time: two at once would both find room for one more.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:user_id AS text), 2))")
# Whoever registers a token has the device in hand; what another person had there is theirs no more.
_REGISTER = text("""
    INSERT INTO devices AS known (id, user_id, kind, token, p256dh, auth, registered_at)
    VALUES (:id, :user_id, :kind, :token, :p256dh, :auth, clock_timestamp())
    ON CONFLICT (token) DO UPDATE SET
        id = CASE WHEN known.user_id = excluded.user_id THEN known.id ELSE excluded.id END,
        created_at = CASE WHEN known.user_id = excluded.user_id THEN known.created_at ELSE excluded.created_at END,
        user_id = excluded.user_id, kind = excluded.kind, p256dh = excluded.p256dh, auth = excluded.auth,
        registered_at = excluded.registered_at
    RETURNING *
""")
# One that is just being registered by somebody else is theirs, and waited for by nobody.
_TRIM = text("""
    DELETE FROM devices WHERE id = ANY(ARRAY(
        SELECT id FROM devices WHERE user_id = :user_id
        ORDER BY registered_at DESC, id DESC OFFSET :most FOR UPDATE SKIP LOCKED))
""")
_TO_REACH = text("""
    SELECT id, kind, token, p256dh, auth FROM devices
    WHERE user_id = :user_id AND kind = ANY(CAST(:kinds AS text[]))
        AND id <> ALL (SELECT unnest(taken_by) FROM deliveries WHERE id = :delivery_id)
""")
_WAS_TAKEN = text("SELECT taken_by <> '{}' FROM deliveries WHERE id = :delivery_id")
_TAKE = text("UPDATE deliveries SET taken_by = taken_by || CAST(:device_ids AS uuid[]) WHERE id = :delivery_id")


@dataclass(frozen=True)
class Target:
    """What a device is reached by: a token of FCM, or the endpoint of a browser with its keys."""

    kind: DeviceKind
    token: str
    p256dh: str = ""
    auth: str = ""


@dataclass(frozen=True)
class Device:
    """A device that is to be reached."""

    id: UUID
    target: Target


async def register(tx: Transaction, user_id: UUID, target: Target, most: int) -> Row:
    """Makes the device that person's, the newest of `most` at the most."""
    await tx.execute(_LOCK, {"user_id": user_id})
    row = (await tx.execute(_REGISTER, {"id": new_id(), "user_id": user_id, **vars(target)})).one()
    tx.write(_TRIM, {"user_id": user_id, "most": most})
    return row


async def of(tx: Transaction, user_id: UUID) -> Sequence[Row]:
    """A person's devices, the one that was registered last first."""
    newest_first = (devices.c.registered_at.desc(), devices.c.id.desc())
    return (await tx.execute(select(devices).where(devices.c.user_id == user_id).order_by(*newest_first))).all()


async def remove(tx: Transaction, user_id: UUID, id_: UUID) -> bool:
    """Whether that person had such a device; it is gone."""
    removed = delete(devices).where(devices.c.id == id_, devices.c.user_id == user_id).returning(devices.c.id)
    return (await tx.execute(removed)).first() is not None


def remove_gone(tx: Transaction, device: Device) -> None:
    """Removes a device that a push service does not know any more."""
    tx.write(delete(devices).where(devices.c.id == device.id, devices.c.token == device.target.token))


async def to_reach(
    tx: Transaction, user_id: UUID, kinds: Sequence[DeviceKind], delivery_id: UUID
) -> tuple[Sequence[Device], bool]:
    """A person's devices of these kinds that have not taken the delivery yet, and whether any has."""
    asked = {"user_id": user_id, "kinds": list(kinds), "delivery_id": delivery_id}
    rows = (await tx.execute(_TO_REACH, asked)).all()
    was_taken = (await tx.execute(_WAS_TAKEN, {"delivery_id": delivery_id})).scalar_one()
    return [Device(row.id, Target(DeviceKind(row.kind), row.token, row.p256dh, row.auth)) for row in rows], was_taken


def take(tx: Transaction, delivery_id: UUID, device_ids: Sequence[UUID]) -> None:
    """Remembers which devices have taken a delivery that is tried again for others."""
    tx.write(_TAKE, {"delivery_id": delivery_id, "device_ids": list(device_ids)})
