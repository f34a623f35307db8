"""The senders that there are. What one needs is loaded only when it is configured."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from petpro_notification.senders.mail import Post
from petpro_notification.senders.sender import Sender
from petpro_notification.settings import Settings


@asynccontextmanager
async def open_senders(settings: Settings) -> AsyncIterator[Sequence[Sender]]:
    """One for each channel that the settings say something is sent by; mail always is."""
    yield [Post(settings)]
