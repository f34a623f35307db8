"""A durable pull consumer: hands each message to a function, then acknowledges it.

Messages of one key (an aggregate, a saga) are handled one after the other, others side by side in a few lanes. A
message whose handling fails comes again after a growing pause; after the last try, or at once when it can never
succeed, it is set aside in `parked_messages` and no longer blocks anything. While the database is away nothing is set
aside: that is no fault of the message. An operator has it handled again by `redrive`.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any
from zlib import crc32

import orjson
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import ServerError
from opentelemetry.trace import SpanKind
from psycopg import Error as DatabaseError
from psycopg import InterfaceError, OperationalError
from sqlalchemy import text

from petpro_common import context, kill_points, tasks, telemetry
from petpro_common.context import CallContext
from petpro_common.db import Database
from petpro_common.errors import PetProError
from petpro_common.ids import new_id
from petpro_common.kill_points import Moment
from petpro_common.messaging.broker import REQUEST_SECONDS, Broker
from petpro_common.messaging.subjects import STREAMS, durable_names

Handle = Callable[[Msg], Awaitable[None]]
KeyOf = Callable[[Msg], str]

ACK_WAIT_SECONDS = 10  # after this, what a killed process had in hand comes to the next
MAX_TRIES = 12
_LANES = 16
_PULL = 256
_EXPIRES_SECONDS = 30
_HEARTBEAT_SECONDS = 3
_LOOK_SECONDS = 0.25
_SILENT_LOOKS = 30  # two and a half heartbeats
_MOST_IN_LANE = 2 * _PULL  # what waits too long comes again, and must not pile up
_AWAY = (OperationalError, InterfaceError, OSError)
_PLUMBING = "petpro_common/db.py"
_STATE_UNREADABLE = (10012, 10104)  # the server cannot create the consumer, or the store for it
_SUBJECT_OF_PULL = "$JS.API.CONSUMER.MSG.NEXT"

_PARK = text("""
    INSERT INTO parked_messages (message_id, consumer, subject, headers, payload, error, tries)
    VALUES (:message_id, :consumer, :subject, CAST(:headers AS jsonb), :payload, :error, :tries)
    ON CONFLICT (message_id) DO UPDATE SET error = excluded.error, tries = excluded.tries, parked_at = CURRENT_TIMESTAMP
""")

_log = structlog.get_logger()


class Unprocessable(Exception):
    """This message can never be handled: it is set aside without another try. Its words name no secret and nobody."""


class ConsumerLost(Exception):
    """The broker no longer knows the consumer, or says nothing: it is made again."""


def pause_after(tries: int) -> float:
    """Seconds until the next try: 0.1, 0.2, 0.4 ... at most 30."""
    return float(min(0.1 * 2 ** (tries - 1), 30.0))


def told(fault: Exception) -> str:
    """What an operator may read of a fault: its kind and where it arose, and its words only where they are our own.

    Those of others may quote the message, which can hold a payment token or a name.
    """
    kind = type(fault).__name__
    if isinstance(fault, Unprocessable | PetProError):
        return f"{kind}: {fault}"
    if isinstance(fault, DatabaseError):
        kind = " ".join(filter(None, (kind, fault.diag.constraint_name)))
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [frame for frame in frames if "petpro_" in frame.filename and not frame.filename.endswith(_PLUMBING)]
    return f"{kind} in {ours[-1].name} ({PurePath(ours[-1].filename).name}:{ours[-1].lineno})" if ours else kind


@contextlib.contextmanager
def _in_hand(message: Msg) -> Iterator[None]:
    headers = message.headers or {}
    call = CallContext(message.subject, headers.get("ce-id") or str(new_id()))
    with telemetry.span(message.subject, headers, SpanKind.CONSUMER), context.within(call):
        yield


class Consumer:
    """One durable consumer of `stream`, named after the service, for messages on `subjects`."""

    def __init__(
        self,
        database: Database,
        broker: Broker,
        stream: str,
        subjects: list[str],
        handle: Handle,
        key_of: KeyOf,
    ) -> None:
        self._database = database
        self._broker = broker
        self._stream = stream
        self._subjects = subjects
        self._handle = handle
        self._key_of = key_of
        self._name = broker.service
        self._durable = broker.service
        self._turns = [asyncio.Lock() for _ in range(_LANES)]

    def takes(self, subject: str) -> bool:
        """Whether messages on `subject` come from this consumer's stream."""
        return subject.startswith(STREAMS[self._stream].removesuffix(">"))

    async def redrive(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:
        """Handles a message that was set aside, in its turn and without the broker. Raises what the handler raises."""
        message = Msg(self._broker.client, subject, data=payload, headers=dict(headers))
        async with self._turns[self._lane_of(message)]:
            with _in_hand(message):
                await self._handle(message)
        telemetry.MESSAGES_HANDLED.labels(self._name, "redriven").inc()

    async def run(self) -> None:
        """Runs until cancelled; makes the consumer anew whenever the broker has lost it."""
        while True:
            await self._broker.until_connected()
            try:
                await self._ensure()
                await self._consume()
            except (NatsError, ConsumerLost, OSError, TimeoutError) as fault:
                telemetry.BACKGROUND_FAILURES.labels(f"consumer {self._stream}").inc()
                _log.warning("consumer starts again", stream=self._stream, cause=str(fault) or repr(fault))
                await asyncio.sleep(0.25)

    async def _ensure(self) -> None:
        """Makes the consumer. Where the broker cannot read its state, another reads everything again."""
        await self._broker.ensure_streams()
        *first, last = durable_names(self._name)
        for self._durable in first:
            try:
                await self._make_durable()
            except ServerError as fault:
                if fault.err_code not in _STATE_UNREADABLE:
                    raise
                _log.error("the broker has lost a consumer's state", stream=self._stream, durable=self._durable)
            else:
                return
        self._durable = last
        await self._make_durable()

    async def _make_durable(self) -> None:
        config = ConsumerConfig(
            name=self._durable,
            durable_name=self._durable,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_deliver=-1,
            max_ack_pending=_PULL * 2,
            filter_subjects=self._subjects,
        )
        await self._broker.jetstream.add_consumer(self._stream, config)

    async def _consume(self) -> None:
        inbox = self._broker.client.new_inbox()
        subscription = await self._broker.client.subscribe(inbox)
        lanes: list[asyncio.Queue[Msg]] = [asyncio.Queue(_MOST_IN_LANE) for _ in range(_LANES)]
        workers = [asyncio.create_task(self._work(lane, turn)) for lane, turn in zip(lanes, self._turns, strict=True)]
        try:
            await self._pull(inbox, subscription, lanes)
        finally:
            await tasks.end(workers)
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _pull(self, inbox: str, subscription: Subscription, lanes: list[asyncio.Queue[Msg]]) -> None:
        wanted = 0
        while True:
            if wanted <= _PULL // 2:
                await self._ask(inbox, _PULL - wanted)
                wanted = _PULL
            message = await self._next(subscription)
            status = (message.headers or {}).get("Status") if not message.data else None
            if status is None:
                wanted -= 1
                await lanes[self._lane_of(message)].put(message)
            elif status == "503":
                raise ConsumerLost("no such consumer")
            elif status != "100":
                wanted = 0  # the pull has run out (404, 408) or was ended (409): ask again

    async def _next(self, subscription: Subscription) -> Msg:
        """The next message or heartbeat. A pull does not outlive its connection, so a new one is noticed at once."""
        connection = self._broker.reconnects
        for _ in range(_SILENT_LOOKS):
            try:
                return await subscription.next_msg(timeout=_LOOK_SECONDS)
            except TimeoutError:
                if self._broker.reconnects != connection:
                    raise ConsumerLost("the connection is a new one") from None
        raise ConsumerLost("no heartbeat")

    async def _ask(self, inbox: str, batch: int) -> None:
        request = {
            "batch": batch,
            "expires": _EXPIRES_SECONDS * 1_000_000_000,
            "idle_heartbeat": _HEARTBEAT_SECONDS * 1_000_000_000,
        }
        subject = f"{_SUBJECT_OF_PULL}.{self._stream}.{self._durable}"
        await self._broker.client.publish(subject, orjson.dumps(request), reply=inbox)

    def _lane_of(self, message: Msg) -> int:
        return crc32(self._key_of(message).encode()) % _LANES

    async def _work(self, lane: asyncio.Queue[Msg], turn: asyncio.Lock) -> None:
        while True:
            message = await lane.get()
            try:
                async with turn:
                    await self._process(message)
            except Exception as fault:  # noqa: BLE001  # it is not acknowledged and comes again; the lane goes on
                _log.warning("message comes again", subject=message.subject, cause=repr(fault))

    async def _process(self, message: Msg) -> None:
        with _in_hand(message):
            try:
                await self._handle(message)
            except Exception as fault:  # noqa: BLE001  # one bad message must not end the consumer
                await self._failed(message, fault)
                return
        telemetry.MESSAGES_HANDLED.labels(self._name, "done").inc()
        kill_points.reach(Moment.BEFORE_ACK, message.subject)
        await message.ack_sync(timeout=REQUEST_SECONDS)
        kill_points.reach(Moment.AFTER_ACK, message.subject)

    async def _failed(self, message: Msg, fault: Exception) -> None:
        tries = message.metadata.num_delivered
        _log.warning("message failed", subject=message.subject, tries=tries, exc_info=fault)
        if isinstance(fault, Unprocessable) or (tries >= MAX_TRIES and not isinstance(fault, _AWAY)):
            await self._park(message, fault)
            return
        telemetry.MESSAGES_HANDLED.labels(self._name, "retried").inc()
        await message.nak(delay=pause_after(tries))

    async def _park(self, message: Msg, fault: Exception) -> None:
        headers: Mapping[str, Any] = message.headers or {}
        row = {
            "message_id": headers.get("Nats-Msg-Id") or f"{self._stream}:{message.metadata.sequence.stream}",
            "consumer": self._name,
            "subject": message.subject,
            "headers": orjson.dumps(dict(headers)).decode(),
            "payload": message.data,
            "error": told(fault),
            "tries": message.metadata.num_delivered,
        }
        async with self._database.transaction() as tx:
            await tx.execute(_PARK, row)
        telemetry.PARKED_MESSAGES.labels(self._name).inc()
        await message.ack_sync(timeout=REQUEST_SECONDS)
