"""The senders that there are. A new one is a file, and a line here.

A sender's file, with its libraries and its settings, is loaded only when it is configured.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from petpro_common.db import Database
from petpro_notification.domain import DeviceKind
from petpro_notification.senders.mail import Post
from petpro_notification.senders.sender import Sender
from petpro_notification.settings import Settings

FILES = {
    "twilio": "petpro_notification.senders.twilio",
    "fcm": "petpro_notification.senders.fcm",
    "web_push": "petpro_notification.senders.web_push",
}


@dataclass(frozen=True)
class Opened:
    """Who was opened for SMS, and for devices of each kind."""

    sms: Sequence[Sender]
    push_services: Mapping[DeviceKind, Any]

    def senders(self, settings: Settings, database: Database) -> Sequence[Sender]:
        """One for each channel that something is sent by; mail always is."""
        senders = [Post(settings), *self.sms]
        if self.push_services:
            senders.append(import_module("petpro_notification.senders.push").Push(database, self.push_services))
        return senders


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """Opens what the settings say that something is sent by, until after all that send by it have ended. Each reads
    settings of its own besides. Raises pydantic's ValidationError."""
    async with AsyncExitStack() as stack:
        sms = [await stack.enter_async_context(_file(name).open_sender(settings)) for name in (settings.sms,) if name]
        services: dict[DeviceKind, Any] = {}
        if settings.fcm:
            services[DeviceKind.FCM] = await stack.enter_async_context(_file("fcm").open_service())
        if settings.web_push:
            services[DeviceKind.WEB_PUSH] = await stack.enter_async_context(_file("web_push").open_service(settings))
        yield Opened(sms, services)


def _file(name: str) -> Any:
    return import_module(FILES[name])
