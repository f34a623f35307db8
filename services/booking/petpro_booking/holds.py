"""Holding seats: a seat is kept for a pet for some minutes, and the customer has so long to pay.

Requests that come at the same time are granted in one transaction, each with an outcome of its own. A pet may hold a
slot more than once: exactly as many holds succeed as there are seats, and a retry is told from a second request by its
request id.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from petpro.booking.v1 import booking_pb2
from petpro_booking import events, messages, store_holds
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
class HoldRequest:
    """A seat for a pet, wanted by its owner, in the trace of the call in hand."""

    user_id: UUID
    slot_id: UUID
    pet_id: UUID
    claim: idempotency.Claim | None
    place: telemetry.Place = field(default_factory=telemetry.place)


async def hold(tx: Transaction, requests: Sequence[HoldRequest], hold_seconds: float) -> list[Reply | PetProError]:
    """Grants requests with price, commission and policy as they are now: a reply or a typed error for each.

    ServiceNotFound, ServiceUnavailable and PetNotFound come from the copies of what other services own: before the
    caller believes one of these it asks the owner.
    """
    rows = await store_holds.hold(tx, [_row(request) for request in requests], hold_seconds)
    outcomes: list[Reply | PetProError] = []
    stored = await _answered_meanwhile(
        tx, (request for request, row in zip(requests, rows, strict=True) if not row.is_held)
    )
    for request, row in zip(requests, rows, strict=True):
        if not row.is_held:
            outcomes.append(stored.answer(request.claim, Reply) or _refusal(row))
            continue
        reply = Reply(reservation=messages.reservation(row, with_lock_id=True))
        outcomes.append(reply)
        if request.claim:
            idempotency.keep(tx, request.claim, reply)
        with telemetry.back_in(request.place):
            await events.reservation_created(tx, row)
    return outcomes


async def _answered_meanwhile(tx: Transaction, refused: Iterable[HoldRequest]) -> idempotency.Stored:
    """What was answered to requests that get no seat. Where a slot was waited for, its last seat may be that of a copy
    of the same request, which had not committed when the statement looked for it."""
    claims = [request.claim for request in refused if request.claim]
    return idempotency.Stored(await tx.execute(*idempotency.looking_up(claims)) if claims else ())


def _row(request: HoldRequest) -> dict[str, object]:
    claim = request.claim or _NO_CLAIM
    return {
        "id": new_id(),
        "user_id": request.user_id,
        "pet_id": request.pet_id,
        "slot_id": request.slot_id,
        "lock_id": secrets.token_urlsafe(_LOCK_ID_BYTES),
        **claim.name,
    }


def _refusal(row: Row) -> PetProError:
    """What speaks against a hold."""
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
