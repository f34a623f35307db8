"""Pushes, to all devices of a person that a service is configured for.

One delivery is for all of them, and sent when each that can be reached has taken it. Where some have, and others are to
be tried again, it is remembered which (`deliveries.taken_by`), so that nobody's phone rings at each try for a browser.
A crash sends to all once more: a device shows one notification of an id, and the copy replaces it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from petpro_common.db import Database
from petpro_notification import store_devices as store
from petpro_notification.directory import Person
from petpro_notification.domain import NEWS_FOR, Channel, DeviceKind, Refused, Result, Sent, Suppressed, TryAgain
from petpro_notification.store import Due, Names
from petpro_notification.store_devices import Device, Target
from petpro_notification.wording import Words

_BODY_CHARACTERS = 200  # whatever they are, title and body fit into the 3,993 bytes that every push service takes


@dataclass(frozen=True)
class Gone:
    """The push service does not know the device any more."""


@dataclass(frozen=True)
class Message:
    """What a device shows; `data` is for the app, and holds ids alone. It is news until `expires_at`."""

    title: str
    body: str
    notification_id: UUID
    data: Mapping[str, str]
    expires_at: datetime

    @property
    def ttl_seconds(self) -> int:
        """For how long it is worth keeping, from now on."""
        return max(int((self.expires_at - datetime.now(UTC)).total_seconds()), 0)


@dataclass(frozen=True)
class Parcel:
    """A message, for whom, and by which delivery."""

    user_id: UUID
    delivery_id: UUID
    message: Message


class PushService(Protocol):
    """Who reaches devices of one kind."""

    async def push(self, target: Target, message: Message) -> Result | Gone:
        """Hands the message over for that device."""


_Pushed: TypeAlias = tuple[Device, Result | Gone]


class Push:
    """Sends pushes by the services that are configured."""

    channel = Channel.PUSH

    def __init__(self, database: Database, services: Mapping[DeviceKind, PushService]) -> None:
        self._database = database
        self._services = services

    def compose(self, due: Due, words: Words, _names: Names, _person: Person) -> Parcel:
        """The title and the beginning of the content, never a link."""
        line = " ".join(words.content.split())
        body = line if len(line) <= _BODY_CHARACTERS else f"{line[: _BODY_CHARACTERS - 3].rstrip()}..."
        ids = {"notification_id": due.notification_id, "booking_id": due.booking_id}
        data = {"type": due.type.value, **{name: str(id_) for name, id_ in ids.items() if id_}}
        message = Message(words.title, body, due.notification_id, data, due.created_at + NEWS_FOR)
        return Parcel(due.user_id, due.id, message)

    async def send(self, composed: Parcel, _person: Person) -> Result:
        """To each device that has not taken it yet; one that is gone is removed."""
        async with self._database.reading() as tx:
            devices, was_taken = await store.to_reach(tx, composed.user_id, list(self._services), composed.delivery_id)
        pushed = await asyncio.gather(*(self._push(device, composed.message) for device in devices))
        result = _result_of([result for _, result in pushed], was_taken=was_taken)
        await self._remember(composed, pushed, is_tried_again=isinstance(result, TryAgain))
        return result

    async def _push(self, device: Device, message: Message) -> _Pushed:
        return device, await self._services[device.target.kind].push(device.target, message)

    async def _remember(self, composed: Parcel, pushed: Sequence[_Pushed], *, is_tried_again: bool) -> None:
        taken = [device.id for device, result in pushed if isinstance(result, Sent)]
        gone = [device for device, result in pushed if isinstance(result, Gone)]
        if not gone and not (taken and is_tried_again):
            return
        async with self._database.transaction() as tx:
            for device in gone:
                store.remove_gone(tx, device)
            if taken and is_tried_again:
                store.take(tx, composed.delivery_id, taken)


def _result_of(results: Sequence[Result | Gone], *, was_taken: bool) -> Result:
    """What came of a delivery: tried again while any device may take it, else sent when any has."""
    later = [result for result in results if isinstance(result, TryAgain)]
    if later:
        return TryAgain(later[0].reason, max(result.after_seconds for result in later))
    if was_taken or any(isinstance(result, Sent) for result in results):
        return Sent()
    return next((result for result in results if isinstance(result, Refused)), Suppressed("no device"))
