"""Messages that wait for their turn: those of one key one after the other, those of different keys side by side."""

import asyncio

from nats.aio.msg import Msg


class KeyedQueue:
    """A queue of messages that holds back what has the key of a message in hand."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[int, Msg]] = {}  # also of those keys that are in hand; by number in the stream
        self._ready: dict[str, None] = {}  # keys whose first message may be taken; who waits longest comes first
        self._something = asyncio.Event()
        self._is_closed = False

    def put(self, key: str, message: Msg) -> None:
        """Adds a message behind all others of its key, or in the place of a copy of it that came earlier and waits."""
        if key not in self._waiting:
            self._waiting[key] = {}
            self._offer(key)
        self._waiting[key][message.metadata.sequence.stream] = message

    async def take(self, most: int) -> dict[str, Msg]:
        """Waits for messages and takes up to `most`, by their keys; none once closed. Until `done` a key is in hand."""
        await self._something.wait()
        if self._is_closed:
            return {}
        keys = list(self._ready)[:most]
        for key in keys:
            del self._ready[key]
        if not self._ready:
            self._something.clear()
        return {key: _pop_first(self._waiting[key]) for key in keys}

    def close(self) -> None:
        """Nothing is taken any more."""
        self._is_closed = True
        self._something.set()

    def left(self) -> list[Msg]:
        """All that was put and not taken, those of one key in their order."""
        return [message for waiting in self._waiting.values() for message in waiting.values()]

    def done(self, key: str) -> None:
        """The key's next message may be taken."""
        if self._waiting[key]:
            self._offer(key)
        else:
            del self._waiting[key]

    def _offer(self, key: str) -> None:
        self._ready[key] = None
        self._something.set()


def _pop_first(messages: dict[int, Msg]) -> Msg:
    return messages.pop(next(iter(messages)))
