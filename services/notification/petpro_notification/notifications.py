"""Use cases: tell a person something, find what they missed, mark it as read."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from petpro_common.db import Row, Transaction
from petpro_common.ids import new_id
from petpro_notification import store, store_streams
from petpro_notification.domain import Channel, NotificationNotFound, Type, goes_by, merged, said_already_by
from petpro_notification.messages import NotificationRequest
from petpro_notification.store import Due, Known, New, NewDelivery
from petpro_notification.wording import Wording

DUE = "deliveries"
"""Told of when somebody is to be written to by whoever claims it first."""
TOLD = "notifications_told"
"""Told of with the ids of people who were told something, or were erased: each process that has a stream of theirs
looks."""

NONE_YET = UUID(int=0)
"""In place of the last notification of who has none."""


class Courier(Protocol):
    """Who brings what was just told to people by one channel, in this process."""

    @property
    def channel(self) -> Channel:
        """The channel by which it goes."""

    lease: timedelta
    """How long what it takes is its alone."""

    @property
    def room(self) -> int:
        """How many deliveries it can take on."""

    def take(self, claimed: Sequence[Due]) -> None:
        """Takes on deliveries that are claimed for it; called after the commit."""


async def tell(
    tx: Transaction, wording: Wording, news: Sequence[NotificationRequest], couriers: Sequence[Courier]
) -> None:
    """Writes notifications, each about something else, and a delivery of each for each courier's channel that it goes
    by; none of what was told before or is out of date. A courier gets as many as it has room for, the others are due.

    What the person was told of the booking before completes what the event itself says: a cancellation event carries
    no reference code, its notification does.
    """
    if not (due := [request for request in news if not await _needs_no_telling(tx, request)]):
        return
    known = await store.known_of(tx, [(request.booking_id, *about(request.facts)) for request in due])
    new = [_new(wording, *each) for each in zip(due, known, strict=True)]
    deliveries = [delivery for courier in couriers for delivery in _deliveries(new, courier)]
    claimed = store.add_notifications(tx, new, deliveries)
    for courier in couriers:
        tx.after_commit(partial(courier.take, [each for each in claimed if each.channel == courier.channel]))
    tx.tell(TOLD, {str(each.user_id) for each in new})
    if len(claimed) < len(deliveries):
        tx.tell(DUE)


def _deliveries(new: Sequence[New], courier: Courier) -> list[NewDelivery]:
    going = [each for each in new if goes_by(each.type, courier.channel)]
    room = courier.room
    return [
        NewDelivery(each, courier.channel, courier.lease if place < room else None) for place, each in enumerate(going)
    ]


def _new(wording: Wording, request: NotificationRequest, known: Known) -> New:
    facts = merged(known.facts, request.facts)
    said = wording.words(request.type, facts, known.names)
    return New(new_id(), request.user_id, request.booking_id, request.type, said.title, said.content, facts, known)


async def _needs_no_telling(tx: Transaction, request: NotificationRequest) -> bool:
    if await is_out_of_date(tx, request.type, request.booking_id, request.facts):
        return True
    said_by = said_already_by(request.type, request.facts)
    reservation_id = str(request.facts.get("reservation_id"))
    return bool(said_by) and await store.was_told(tx, request.user_id, reservation_id, said_by)


async def is_out_of_date(tx: Transaction, type_: Type, booking_id: UUID | None, facts: Mapping[str, Any]) -> bool:
    """Whether there is no more use in saying it; only a reminder loses its use."""
    return (
        type_ is Type.BOOKING_REMINDER and booking_id is not None and await store.is_out_of_date(tx, booking_id, facts)
    )


def about(facts: Any) -> tuple[UUID | None, UUID | None]:
    """The clinic and the service that the facts are about, where they say so."""
    clinic_id, service_id = facts.get("clinic_id"), facts.get("service_id")
    return UUID(clinic_id) if clinic_id else None, UUID(service_id) if service_id else None


async def missed(tx: Transaction, user_id: UUID, last_id: UUID, most: int) -> Sequence[Row]:
    """The first of what a person was told after the one they have, or at all. Raises NotificationNotFound when that is
    none of theirs."""
    if last_id == NONE_YET:
        return (await store.page_of(tx, user_id, False, None, most))[::-1]
    rows = await store_streams.missed(tx, user_id, last_id, most)
    if rows is None:
        raise NotificationNotFound
    return rows


async def read(tx: Transaction, user_id: UUID, id_: UUID) -> Row:
    """Marks one as read. Raises NotificationNotFound, also for somebody else's."""
    row = await store.mark_read(tx, user_id, id_)
    if row is None:
        raise NotificationNotFound
    return row
