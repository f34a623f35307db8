"""Holding seats: a seat is kept for a pet for some minutes, and the customer has so long to pay.

Requests that come at the same time are granted in one transaction, each with an outcome of its own. A pet may hold a
slot more than once: exactly as many holds succeed as there are seats, and a retry is told from a second request by its
request id.

One person holds a bounded number of seats at once: holds cost nothing, so without it anybody could keep everybody else
out. What counts is what is pending and has not run out, whatever it waits for; the end of a hold, of any kind, frees
its place (docs/adr/0028-so-many-holds-a-person.md).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
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
    TooManyHolds,
)
from petpro_common import idempotency, telemetry
from petpro_common.db import Row, Transaction
from petpro_common.errors import PetProError
from petpro_common.ids import new_id

_LOCK_ID_BYTES = 24
_SHORTEST_WAIT_SECONDS = 1.0
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


@dataclass(frozen=True)
class Terms:
    """For how long a seat is held, how many a person may hold at once, and have to come without anything paid."""

    seconds: float
    most: int
    most_unpaid: int


async def hold(tx: Transaction, requests: Sequence[HoldRequest], terms: Terms) -> list[Reply | PetProError]:
    """Grants requests with price, commission and policy as they are now: a reply or a typed error for each.

    Each is another person's: what somebody holds is counted before any of them is granted.
    ServiceNotFound, ServiceUnavailable and PetNotFound come from the copies of what other services own: before the
    caller believes one of these it asks the owner.
    """
    rows = await store_holds.hold(tx, [_row(request) for request in requests], terms.seconds, terms.most)
    outcomes: list[Reply | PetProError] = []
    told = await _look_again(
        tx, [request for request, row in zip(requests, rows, strict=True) if not row.is_held], terms.most
    )
    for request, row in zip(requests, rows, strict=True):
        if not row.is_held:
            outcomes.append(told.answers.answer(request.claim, Reply) or _refusal(row) or told.too_many(request))
            continue
        reply = Reply(reservation=messages.reservation(row, with_lock_id=True))
        outcomes.append(reply)
        if request.claim:
            idempotency.keep(tx, request.claim, reply)
        with telemetry.back_in(request.place):
            events.reservation_created(tx, row)
    return outcomes


@dataclass(frozen=True)
class _SecondLook:
    """What is told to those who get no seat: what they were answered before, and when they may hold one more."""

    answers: idempotency.Stored
    most: int
    seconds: Mapping[UUID, float]

    def too_many(self, request: HoldRequest) -> TooManyHolds:
        wait = self.seconds.get(request.user_id, 0.0)  # one may have run out meanwhile
        return TooManyHolds(self.most, timedelta(seconds=max(wait, _SHORTEST_WAIT_SECONDS)))


async def _look_again(tx: Transaction, refused: Sequence[HoldRequest], most: int) -> _SecondLook:
    """Where a slot was waited for, its last seat may be that of a copy of the same request, which had not committed
    when the statement looked for it."""
    if not refused:
        return _SecondLook(idempotency.Stored(()), most, {})
    answers, places = await tx.execute_all([
        idempotency.looking_up(request.claim for request in refused),
        store_holds.next_places((request.user_id for request in refused), most),
    ])  # fmt: skip
    return _SecondLook(idempotency.Stored(answers), most, {place.user_id: place.seconds for place in places})


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


def _refusal(row: Row) -> PetProError | None:
    """What speaks against a request; None: that its person holds as many as may be."""
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
    if row.is_blocked:
        return SlotBlocked()
    return None if row.has_most and not row.is_full else SlotFull()
