"""The senders that there are. A new one is a file, and a line here.

A sender's file, with its libraries and its settings, is loaded only when it is configured.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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


@asynccontextmanager
async def open_senders(settings: Settings, database: Database) -> AsyncIterator[Sequence[Sender]]:
    """One for each channel that the settings say something is sent by; mail always is. Each reads settings of its own
    besides. Raises pydantic's ValidationError."""
    async with AsyncExitStack() as stack:
        senders: list[Sender] = [Post(settings)]
        if settings.sms:
            senders.append(await stack.enter_async_context(_file(settings.sms).open_sender(settings)))
        services: dict[DeviceKind, Any] = {}
        if settings.fcm:
            services[DeviceKind.FCM] = await stack.enter_async_context(_file("fcm").open_service())
        if settings.web_push:
            services[DeviceKind.WEB_PUSH] = await stack.enter_async_context(_file("web_push").open_service(settings))
        if services:
            senders.append(import_module("petpro_notification.senders.push").Push(database, services))
        yield senders


def _file(name: str) -> Any:
    return import_module(FILES[name])
