"""The pull on a durable consumer: messages come in ahead of need, and silence is noticed."""

import asyncio
import contextlib
from collections.abc import Callable

import orjson
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from petpro_common import tasks
from petpro_common.faults import OwnWords
from petpro_common.messaging.broker import Broker

ACK_WAIT_SECONDS = 10  # after this, what a killed process had in hand comes to the next
MOST_IN_HAND = 512
_PULL = MOST_IN_HAND // 2
_EXPIRES_SECONDS = 30
_HEARTBEAT_SECONDS = 3
_LOOK_SECONDS = 0.25
_SILENT_SECONDS = 2.5 * _HEARTBEAT_SECONDS
_SUBJECT_OF_PULL = "$JS.API.CONSUMER.MSG.NEXT"


class ConsumerLost(OwnWords):
    """The broker no longer knows the consumer, or says nothing: it is made again."""


class Pull:
    """Gives each message of the service's consumer of a stream to `take`, as soon as it is there.

    `connection` is the number of the one on which the consumer was looked at (`durable`): on another nothing is asked.
    """

    def __init__(self, broker: Broker, connection: int, stream: str, take: Callable[[Msg], None]) -> None:
        self._broker = broker
        self._subject = f"{_SUBJECT_OF_PULL}.{stream}.{broker.service}"
        self._take = take
        self._inbox = broker.client.new_inbox()
        self._connection = connection
        self._wanted = 0
        self._heard_at = 0.0
        self._woken = asyncio.Event()
        self._is_unknown = self._is_closing = False

    def close(self) -> None:
        """Fetches nothing more: `run` returns when all that the broker has sent was taken."""
        self._is_closing = True
        self._woken.set()

    async def run(self) -> None:
        """Runs until closed or cancelled. Raises ConsumerLost.

        A pull does not outlive its connection, so a new one is noticed at once.
        """
        self._heard_at = _now()
        subscription = await self._broker.client.subscribe(self._inbox, cb=self._on_message)
        try:
            while not (self._is_unknown or self._is_closing):
                await self._ask()
                await tasks.woken(self._woken, _LOOK_SECONDS)
                if self._is_cut():
                    raise ConsumerLost("the connection has broken")
                if _now() - self._heard_at > _SILENT_SECONDS:
                    raise ConsumerLost("no heartbeat")
            if self._is_unknown:
                raise ConsumerLost("no such consumer")
            await subscription.drain()  # type: ignore[no-untyped-call]
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = _now()
        # A message of the stream wants an acknowledgement, whatever its headers say; a word of the broker's wants none.
        status = (message.headers or {}).get("Status") if not message.reply else None
        if status is None:
            self._wanted -= 1
            self._take(message)
        elif status == "503":
            self._is_unknown = True
            self._woken.set()
        elif status != "100":
            self._wanted = 0  # the pull has run out (404, 408) or was ended (409): ask again
        await self._ask()

    def _is_cut(self) -> bool:
        return self._broker.reconnects != self._connection

    async def _ask(self) -> None:
        if self._wanted > _PULL // 2 or self._is_cut() or self._is_closing:
            return
        request = {
            "batch": _PULL - self._wanted,
            "expires": _EXPIRES_SECONDS * 1_000_000_000,
            "idle_heartbeat": _HEARTBEAT_SECONDS * 1_000_000_000,
        }
        self._wanted = _PULL
        await self._broker.client.publish(self._subject, orjson.dumps(request), reply=self._inbox)


def _now() -> float:
    return asyncio.get_running_loop().time()
