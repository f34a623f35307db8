"""The pull on a durable consumer: messages come in ahead of need, and silence is noticed."""

import asyncio
import contextlib
from collections.abc import Callable

import orjson
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import ServerError

from petpro_common.faults import OwnWords
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.subjects import durable_names

ACK_WAIT_SECONDS = 10  # after this, what a killed process had in hand comes to the next
_PULL = 256
_EXPIRES_SECONDS = 30
_HEARTBEAT_SECONDS = 3
_LOOK_SECONDS = 0.25
_SILENT_SECONDS = 2.5 * _HEARTBEAT_SECONDS
_STATE_UNREADABLE = (10012, 10104)  # the server cannot create the consumer, or the store for it
_SUBJECT_OF_PULL = "$JS.API.CONSUMER.MSG.NEXT"

_log = structlog.get_logger()


class ConsumerLost(OwnWords):
    """The broker no longer knows the consumer, or says nothing: it is made again."""


async def ensure_durable(broker: Broker, stream: str, subjects: list[str]) -> str:
    """Makes the service's consumer of a stream; its name. Where the broker cannot read its state, another is made.

    The other reads everything again.
    """
    await broker.ensure_streams()
    *first, last = durable_names(broker.service)
    for durable in first:
        try:
            await _make_durable(broker, stream, subjects, durable)
        except ServerError as fault:
            if fault.err_code not in _STATE_UNREADABLE:
                raise
            _log.error("the broker has lost a consumer's state", stream=stream, durable=durable)
        else:
            return durable
    await _make_durable(broker, stream, subjects, last)
    return last


async def _make_durable(broker: Broker, stream: str, subjects: list[str], durable: str) -> None:
    config = ConsumerConfig(
        name=durable,
        durable_name=durable,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=_PULL * 2,
        filter_subjects=subjects,
    )
    await broker.jetstream.add_consumer(stream, config)


class Pull:
    """Gives each message of a consumer to `take`, as soon as it is there."""

    def __init__(self, broker: Broker, stream: str, durable: str, take: Callable[[Msg], None]) -> None:
        self._broker = broker
        self._subject = f"{_SUBJECT_OF_PULL}.{stream}.{durable}"
        self._take = take
        self._inbox = broker.client.new_inbox()
        self._connection = broker.reconnects
        self._wanted = 0
        self._heard_at = 0.0
        self._is_unknown = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled. Raises ConsumerLost.

        A pull does not outlive its connection, so a new one is noticed at once.
        """
        self._heard_at = _now()
        subscription = await self._broker.client.subscribe(self._inbox, cb=self._on_message)
        try:
            while not self._is_unknown.is_set():
                await self._ask()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_unknown.wait(), _LOOK_SECONDS)
                if self._broker.reconnects != self._connection:
                    raise ConsumerLost("the connection is a new one")
                if _now() - self._heard_at > _SILENT_SECONDS:
                    raise ConsumerLost("no heartbeat")
            raise ConsumerLost("no such consumer")
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = _now()
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._wanted -= 1
            self._take(message)
        elif status == "503":
            self._is_unknown.set()
        elif status != "100":
            self._wanted = 0  # the pull has run out (404, 408) or was ended (409): ask again
        await self._ask()

    async def _ask(self) -> None:
        if self._wanted > _PULL // 2:
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
