"""Use cases: a person's devices come, are listed, and go."""

import base64
from collections.abc import Collection, Sequence
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from petpro_common.db import Row, Transaction
from petpro_common.errors import FieldViolation, InvalidRequest
from petpro_notification import store_devices as store
from petpro_notification.domain import MOST_DEVICES, DeviceKind, DeviceNotFound, leads_to
from petpro_notification.store_devices import Target


def app(fcm_token: str) -> Target:
    """An app that Firebase Cloud Messaging reaches."""
    return Target(DeviceKind.FCM, fcm_token)


def browser(endpoint: str, p256dh: str, auth: str, hosts: Collection[str]) -> Target:
    """A browser. Raises InvalidRequest when its push service is not known here, or its key is no point of the curve."""
    if not leads_to(endpoint, hosts):
        raise InvalidRequest(FieldViolation("web_push.endpoint", "must be at a push service that is known here"))
    p256dh, auth = p256dh.rstrip("="), auth.rstrip("=")
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), base64.urlsafe_b64decode(f"{p256dh}="))
    except ValueError:
        raise InvalidRequest(FieldViolation("web_push.keys.p256dh", "must be a point of P-256")) from None
    return Target(DeviceKind.WEB_PUSH, endpoint, p256dh, auth)


async def register(tx: Transaction, user_id: UUID, target: Target) -> Row:
    """Has pushes to that person sent there; again changes nothing but the time."""
    return await store.register(tx, user_id, target, MOST_DEVICES)


async def of(tx: Transaction, user_id: UUID) -> Sequence[Row]:
    """A person's devices, the one that was registered last first."""
    return await store.of(tx, user_id)


async def remove(tx: Transaction, user_id: UUID, id_: UUID) -> None:
    """Sends no more pushes there. Raises DeviceNotFound, also for somebody else's."""
    if not await store.remove(tx, user_id, id_):
        raise DeviceNotFound
