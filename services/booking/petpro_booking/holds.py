"""Holding seats: a seat is kept for a pet for some minutes, and the customer has so long to pay.

Wishes that come at the same time are granted in one transaction, each with an outcome of its own. A pet may hold a slot
more than once: exactly as many holds succeed as there are seats, and a retry is told from a second wish by its request
id.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from petpro.booking.v1 import booking_pb2
from petpro_booking import messages, store_holds
from petpro_booking.domain import (
    PetNotFound,
    ServiceNotFound,
    ServiceUnavailable,
    SlotBlocked,
    SlotFull,
    SlotInPast,
    SlotNotFound,
)
from petpro_common import idempotency, telemetry
from petpro_common.db import Row, Transaction
from petpro_common.errors import PetProError
from petpro_common.ids import new_id

_LOCK_ID_BYTES = 24
_NO_CLAIM = idempotency.Claim("", "", "", b"")

Reply = booking_pb2.CreateReservationResponse


@dataclass(frozen=True)
class Wish:
    """A seat for a pet, wanted by its owner, in the trace of the call in hand."""

    user_id: UUID
    slot_id: UUID
    pet_id: UUID
    claim: idempotency.Claim | None
    place: telemetry.Place = field(default_factory=telemetry.place)


async def hold(tx: Transaction, wishes: Sequence[Wish], hold_seconds: float) -> list[Reply | PetProError]:
    """Grants wishes with price, commission and policy as they are now: a reply or a typed error for each.

    ServiceNotFound, ServiceUnavailable and PetNotFound come from the copies of what other services own: before the
    caller believes one of these it asks the owner.
    """
    rows = await store_holds.hold(tx, [_row(wish) for wish in wishes], hold_seconds)
    outcomes: list[Reply | PetProError] = []
    for wish, row in zip(wishes, rows, strict=True):
        if not row.is_held:
            outcomes.append(_refusal(wish, row))
            continue
        reply = Reply(reservation=messages.reservation(row, with_lock_id=True))
        outcomes.append(reply)
        if wish.claim:
            idempotency.keep(tx, wish.claim, reply)
        with telemetry.back_in(wish.place):
            await messages.reservation_created(tx, row)
    return outcomes


def _row(wish: Wish) -> dict[str, object]:
    claim = wish.claim or _NO_CLAIM
    return {
        "id": new_id(),
        "user_id": wish.user_id,
        "pet_id": wish.pet_id,
        "slot_id": wish.slot_id,
        "lock_id": secrets.token_urlsafe(_LOCK_ID_BYTES),
        **claim.name,
    }


def _refusal(wish: Wish, row: Row) -> Reply | PetProError:
    """What speaks against a wish, or the reply that it had before."""
    if row.request_hash is not None and wish.claim:
        return wish.claim.answer(row.request_hash, row.reply, Reply)
    if not row.has_slot:
        return SlotNotFound()
    if not row.has_service:
        return ServiceNotFound()
    if not row.is_offered:
        return ServiceUnavailable()
    if not row.is_own_pet:
        return PetNotFound()
    if row.has_begun:
        return SlotInPast()
    return SlotBlocked() if row.is_blocked else SlotFull()
