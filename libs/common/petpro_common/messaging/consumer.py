"""A durable consumer: hands messages to a function, then acknowledges them.

What is at hand is handled together, in one transaction, one message of each key (an aggregate, a saga); the next of a
key waits for it. When anything in such a batch fails, or when it takes long, all of it is rolled back and each of its
messages is handled by itself, beside the batches that follow:

    waiting -> batch, committed -> acknowledged
                 |
               rolled back -> each by itself -> acknowledged, comes again, or set aside

A message that fails by itself comes again after a growing pause, and never in a batch; after the last try, or at once
when it can never succeed, it is set aside in `parked_messages` and no longer blocks anything; or it is dropped, when an
operator had discarded it. One that is out of its place is set aside under its number in the stream: the id that it
gives may be another message's. While the database is away nothing is set aside: that is no fault of the message, and
what came again and again meanwhile has some tries left when it is back. An operator has it handled again by `redrive`.

An acknowledgement is written and not waited for: where it is lost the message comes again, and the inbox knows it.

When its process stops, what is in hand is handled to its end, and what was only fetched goes back to the broker, for
another replica: by itself it would come there when nobody has acknowledged it for some seconds.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry.trace import SpanKind

from petpro_common import context, kill_points, tasks, telemetry
from petpro_common.context import CallContext
from petpro_common.db import Database, is_away
from petpro_common.faults import OwnWords, told
from petpro_common.ids import new_id_text
from petpro_common.kill_points import Moment
from petpro_common.messaging import parked
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.durable import ensure_durable
from petpro_common.messaging.keyed_queue import KeyedQueue
from petpro_common.messaging.pull import ConsumerLost, Pull
from petpro_common.messaging.subjects import ID_HEADER, STREAMS
from petpro_common.seldom import Seldom

Handle = Callable[[Sequence[Msg]], Awaitable[None]]
"""Handles messages in one transaction: all of them or, when it raises, none. Each within `in_hand`."""
KeyOf = Callable[[Msg], str]

MAX_TRIES = 12
_LEAST_FAILURES = 3  # here, and with a database
_BATCH = 64
_BATCH_SECONDS = 3.0
_ALONE_AT_ONCE = 8
_RETRY_SECONDS = 0.25

_log = structlog.get_logger()


class Unprocessable(OwnWords):
    """This message can never be handled: it is set aside without another try."""


class OutOfPlace(Unprocessable):
    """What the message says does not belong on its subject. Who may say what goes by the subject, which the broker
    holds senders to: all else that they say of a message, its id included, is theirs to choose."""


class UnknownKind(OwnWords):
    """Nobody here handles messages of this kind. While a release is rolled out a newer replica may: it comes again."""


def pause_after(tries: int) -> float:
    """Seconds until the next try: 0.1, 0.2, 0.4 ... at most 30."""
    return float(min(0.1 * 2 ** (tries - 1), 30.0))


@contextlib.contextmanager
def in_hand(message: Msg, trace: Mapping[str, str] | None = None, subject: str = "", **about: object) -> Iterator[None]:
    """Makes a message the call in hand, in `trace` or else in the one that it came with; `about` as in `context`.

    `subject` is that of one of the commands that came in it.
    """
    headers = message.headers or {}
    call = CallContext(subject or message.subject, headers.get("ce-id") or new_id_text())
    continued = headers if trace is None else trace
    with (
        telemetry.span(call.method, continued, SpanKind.CONSUMER),
        context.within(call),
        context.about(**about),
    ):
        yield


def _all_in_hand(messages: Sequence[Msg]) -> contextlib.AbstractContextManager[None]:
    """Makes a batch the call in hand: its commit is that of each subject in it."""
    first, *others = sorted({message.subject for message in messages})
    return context.within(CallContext(first, new_id_text(), others=tuple(others)))


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
        self._seldom = Seldom()
        self._is_there = False
        self._draining = asyncio.Event()
        self._failures: dict[int, int] = {}
        """How often messages failed here while the database was there, by their numbers in the stream."""

    def takes(self, subject: str) -> bool:
        """Whether messages on `subject` come from this consumer's stream."""
        return subject.startswith(STREAMS[self._stream].removesuffix(">"))

    async def redrive(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:
        """Handles a message that was set aside, without the broker. Raises what the handler raises."""
        message = Msg(self._broker.client, subject, data=payload, headers=dict(headers))
        with _all_in_hand([message]):
            await self._handle([message])
        telemetry.MESSAGES_HANDLED.labels(self._name, "redriven").inc()

    async def look(self) -> None:
        """Asks the broker how far this consumer is behind; nothing while it does not run. Raises NatsError."""
        if self._is_there and self._broker.is_connected:
            info = await self._broker.jetstream.consumer_info(self._stream, self._name)
            telemetry.CONSUMER_PENDING.labels(self._stream).set(info.num_pending or 0)
            telemetry.CONSUMER_UNACKNOWLEDGED.labels(self._stream).set(info.num_ack_pending or 0)

    def drain(self) -> None:
        """Fetches nothing more: `run` returns as soon as what is in hand has been handled."""
        self._draining.set()

    async def run(self) -> None:
        """Runs until drained or cancelled; makes the consumer anew whenever the broker has lost it."""
        await tasks.first_of(self._broker.until_connected(), self._draining.wait())
        while not self._draining.is_set():
            try:
                connection = self._broker.reconnects
                await ensure_durable(self._broker, self._stream, self._subjects, is_start=not self._is_there)
                self._is_there = True
                await self._consume(connection)
            except (NatsError, ConsumerLost, OSError, TimeoutError) as fault:
                telemetry.BACKGROUND_FAILURES.labels(f"consumer {self._stream}").inc()
                self._seldom.warning("consumer starts again", stream=self._stream, cause=told(fault))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _consume(self, connection: int) -> None:
        """Until drained. Raises as `Pull.run`."""
        queue = KeyedQueue()
        self._failures.clear()
        pull = Pull(self._broker, connection, self._stream, lambda message: queue.put(self._key_of(message), message))
        pulling, working = asyncio.create_task(pull.run()), asyncio.create_task(self._work(queue))
        try:
            await tasks.first_of(asyncio.shield(pulling), asyncio.shield(working), self._draining.wait())
            queue.close()
            pull.close()
            await pulling
            await working
            await self._hand_back(queue.left())
        finally:
            await tasks.end([pulling, working])

    async def _hand_back(self, fetched: Sequence[Msg]) -> None:
        """Has messages come to another at once."""
        for message in fetched:
            await message.nak()

    async def _work(self, queue: KeyedQueue) -> None:
        """Until `queue` is closed, and what was taken of it has been handled."""
        alone = asyncio.Semaphore(_ALONE_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while taken := await queue.take(_BATCH):
                left = await self._together(taken)
                for key in taken.keys() - left.keys():
                    queue.done(key)
                for key, message in left.items():
                    group.create_task(self._in_turn(queue, alone, key, message))

    async def _in_turn(self, queue: KeyedQueue, alone: asyncio.Semaphore, key: str, message: Msg) -> None:
        try:
            async with alone:
                await self._by_itself(message)
        finally:
            queue.done(key)

    async def _together(self, messages: Mapping[str, Msg]) -> Mapping[str, Msg]:
        """Handles messages as one; those that have to be handled by themselves. All are given by their keys."""
        again = {key: message for key, message in messages.items() if message.metadata.num_delivered > 1}
        batch = [message for key, message in sorted(messages.items()) if key not in again]
        if not batch:
            return again
        try:
            with _all_in_hand(batch):
                async with asyncio.timeout(_BATCH_SECONDS):
                    await self._handle(batch)
        except Exception as fault:  # noqa: BLE001  # whose fault it is shows when each is handled by itself
            _log.warning("batch is taken apart", stream=self._stream, messages=len(batch), cause=told(fault))
            return messages
        await self._handled(batch)
        return again

    async def _by_itself(self, message: Msg) -> None:
        try:
            await self._process(message)
        except Exception as fault:  # noqa: BLE001  # it is not acknowledged and comes again; others go on
            _log.warning("message comes again", subject=message.subject, cause=told(fault))

    async def _process(self, message: Msg) -> None:
        try:
            with _all_in_hand([message]):
                await self._handle([message])
        except Exception as fault:  # noqa: BLE001  # one bad message must not end the consumer
            await self._failed(message, fault)
        else:
            await self._handled([message])

    async def _handled(self, messages: Sequence[Msg]) -> None:
        telemetry.MESSAGES_HANDLED.labels(self._name, "done").inc(len(messages))
        now, delay = datetime.now(UTC), telemetry.MESSAGE_DELAY_SECONDS.labels(self._stream)
        for message in messages:
            self._failures.pop(message.metadata.sequence.stream, None)
            delay.observe((now - message.metadata.timestamp).total_seconds())
            await self._acknowledge(message)

    async def _acknowledge(self, message: Msg) -> None:
        kill_points.reach(Moment.BEFORE_ACK, message.subject)
        try:
            await message.ack()
        except (NatsError, OSError) as fault:
            _log.warning("message comes again", subject=message.subject, cause=told(fault))
        kill_points.reach(Moment.AFTER_ACK, message.subject)

    async def _failed(self, message: Msg, fault: Exception) -> None:
        tries = message.metadata.num_delivered
        _log.warning("message failed", subject=message.subject, tries=tries, cause=told(fault))
        if isinstance(fault, Unprocessable) or (not is_away(fault) and self._was_the_last_try(message)):
            await self._park(message, fault)
            return
        telemetry.MESSAGES_HANDLED.labels(self._name, "retried").inc()
        await message.nak(delay=pause_after(tries))

    def _was_the_last_try(self, message: Msg) -> bool:
        number = message.metadata.sequence.stream
        failures = self._failures[number] = self._failures.get(number, 0) + 1
        return message.metadata.num_delivered >= MAX_TRIES and failures >= min(MAX_TRIES, _LEAST_FAILURES)

    async def _park(self, message: Msg, fault: Exception) -> None:
        headers: Mapping[str, Any] = message.headers or {}
        own_id = "" if isinstance(fault, OutOfPlace) else headers.get(ID_HEADER)
        row = {
            "message_id": own_id or f"{self._stream}:{message.metadata.sequence.stream}",
            "consumer": self._name,
            "subject": message.subject,
            "headers": orjson.dumps(dict(headers)).decode(),
            "payload": message.data,
            "error": told(fault),
            "tries": message.metadata.num_delivered,
        }
        arrived_at = message.metadata.timestamp
        async with self._database.transaction() as tx:
            is_parked = await parked.park(tx, row, has_own_id=bool(own_id), arrived_at=arrived_at)
        self._failures.pop(message.metadata.sequence.stream, None)
        if is_parked:
            telemetry.PARKED_MESSAGES.labels(self._name).inc()
        else:
            telemetry.MESSAGES_HANDLED.labels(self._name, "discarded").inc()
        await self._acknowledge(message)
