"""The senders that there are. A new one is a file with `open_sender`, and a line here.

A sender's file, with its libraries and its settings, is loaded only when it is configured.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module

from petpro_notification.senders.mail import Post
from petpro_notification.senders.sender import Sender
from petpro_notification.settings import Settings

FILES = {"twilio": "petpro_notification.senders.twilio"}

OpenSender = Callable[[Settings], AbstractAsyncContextManager[Sender]]
"""Reads settings of its own besides, and opens a sender."""


@asynccontextmanager
async def open_senders(settings: Settings) -> AsyncIterator[Sequence[Sender]]:
    """One for each channel that the settings say something is sent by; mail always is. Raises pydantic's
    ValidationError."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(_opener(name)(settings)) for name in (settings.sms,) if name]
        yield [Post(settings), *others]


def _opener(name: str) -> OpenSender:
    opener: OpenSender = import_module(FILES[name]).open_sender
    return opener
