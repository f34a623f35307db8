"""The played broker: it drops, doubles, delays, reorders, and forgets everything or what came last."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace

from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import NoStreamResponseError, NotFoundError

from libs.common.tests.simulator.pauses import Clock, Pause
from petpro_common.messaging.broker import DUPLICATE_WINDOW_SECONDS, MAX_AGE_SECONDS
from petpro_common.messaging.pull import ACK_WAIT_SECONDS
from petpro_common.messaging.subjects import STREAMS


@dataclass
class Weather:
    """How bad a schedule is: chances from 0 to 1, and seconds."""

    lost: float = 0.0
    ack_lost: float = 0.0
    doubled: float = 0.0
    shuffled: float = 0.0
    killed: float = 0.0
    database_fault: float = 0.0
    trouble: float = 0.0
    delay: float = 0.1
    ends_at: float = 150.0


@dataclass
class Stored:
    """A message in a stream, and how far its one consumer is with it."""

    seq: int
    message_id: str
    subject: str
    headers: Mapping[str, str]
    data: bytes
    visible_at: float
    tries: int = 0
    is_acked: bool = False


@dataclass
class Stream:
    """A stream; `created` tells it from another of that name."""

    created: int
    last_seq: int = 0
    messages: dict[int, Stored] = field(default_factory=dict)
    known: dict[str, tuple[int, float]] = field(default_factory=dict)


def _nobody(stream: str, message_id: str) -> None:
    """Nobody looks at acknowledgements."""


class Server:
    """The broker. `epoch` counts how often it has forgotten something."""

    def __init__(self, clock: Clock, dice: Random, weather: Weather) -> None:
        self.clock, self.dice, self.weather = clock, dice, weather
        self.streams: dict[str, Stream] = {}
        self.epoch = 0
        self.reconnects = 0
        self.on_ack: Callable[[str, str], None] = _nobody
        self._copy: dict[str, Stream] = {}
        self.make_streams()

    def is_bad(self, chance: float) -> bool:
        """Whether a fault of that chance comes; none comes after the weather has cleared."""
        return self.clock.seconds < self.weather.ends_at and self.dice.random() < chance

    def make_streams(self) -> None:
        for name in STREAMS:
            if name not in self.streams:
                self.streams[name] = Stream(self.epoch)

    def copy(self) -> None:
        """A backup is made."""
        self._copy = copy.deepcopy(self.streams)

    def forget(self) -> None:
        """The server starts again without its store, or with the backup of it."""
        is_restored = bool(self._copy) and self.dice.random() < 0.5
        self.streams = copy.deepcopy(self._copy) if is_restored else {}
        self._copy = {}
        self.epoch += 1
        self.reconnects += 1

    def lose(self) -> None:
        """The server starts again, and a part of a stream is gone: its end, its beginning, or some of its middle."""
        stream = self.streams.get(self.dice.choice(sorted(STREAMS)))
        if stream and stream.messages:
            numbers = sorted(stream.messages)
            first = self.dice.choice([numbers[0], self.dice.choice(numbers)])
            last = self.dice.choice([number for number in numbers if number >= first])
            for number in range(first, last + 1):
                stream.messages.pop(number, None)
            if last == stream.last_seq:
                stream.last_seq = first - 1
            stream.known = self.dice.choice([{}, stream.known])
        self._copy = {}
        self.epoch += 1
        self.reconnects += 1

    def delete(self) -> None:
        """Somebody deletes a stream of a server that lives on."""
        self.streams.pop(self.dice.choice(sorted(STREAMS)), None)
        self._copy = {}
        self.epoch += 1

    def drop(self) -> None:
        """A message is never delivered again, though the stream still has it."""
        waiting = [message for name in self.streams for message in self.waiting(name)]
        if waiting:
            self.dice.choice(waiting).is_acked = True

    def take(self, subject: str, data: bytes, headers: Mapping[str, str]) -> SimpleNamespace:
        name = stream_of(subject)
        if name not in self.streams:
            raise NoStreamResponseError
        stream = self.streams[name]
        seq, at = stream.known.get(headers["Nats-Msg-Id"], (0, -1e9))
        is_known = self.clock.seconds - at <= DUPLICATE_WINDOW_SECONDS
        if not is_known:
            stream.last_seq += 1
            seq = stream.last_seq
            visible_at = self.clock.seconds + self.dice.expovariate(1 / self.weather.delay)
            message = Stored(seq, headers["Nats-Msg-Id"], subject, headers, data, visible_at)
            stream.messages[seq] = message
            stream.known[message.message_id] = (seq, self.clock.seconds)
        return SimpleNamespace(stream=name, seq=seq, duplicate=is_known)

    def waiting(self, stream: str) -> list[Stored]:
        """What the consumer has not acknowledged."""
        found = self.streams.get(stream)
        return [message for message in found.messages.values() if not message.is_acked] if found else []

    def hand_out(self, stream: str, message: Stored) -> "Delivery":
        message.tries += 1
        again = 0.0 if self.is_bad(self.weather.doubled) else ACK_WAIT_SECONDS
        message.visible_at = self.clock.seconds + again
        return Delivery(self, stream, message, message.tries)


def stream_of(subject: str) -> str:
    """The stream that takes a subject."""
    return next(name for name, subjects in STREAMS.items() if subject.startswith(subjects.removesuffix(">")))


class Delivery:
    """As nats.aio.msg.Msg."""

    def __init__(self, server: Server, stream: str, message: Stored, tries: int) -> None:
        self._server, self._stream = server, stream
        self.subject, self.data, self.headers = message.subject, message.data, message.headers
        self.metadata = SimpleNamespace(
            num_delivered=tries, sequence=SimpleNamespace(stream=message.seq), timestamp=datetime.now(UTC)
        )

    def _found(self) -> Stored | None:
        """By its number, as the server looks it up: after a restore that may be another message."""
        stream = self._server.streams.get(self._stream)
        message = stream.messages.get(self.metadata.sequence.stream) if stream else None
        return message if message and message.tries else None

    async def ack(self) -> None:
        """Written, and perhaps never there: nobody is told."""
        await Pause("before ack")
        if self._server.is_bad(self._server.weather.lost):
            return
        self._server.on_ack(self._stream, self.headers["Nats-Msg-Id"])
        if message := self._found():
            message.is_acked = True
        await Pause("after ack")
        if self._server.is_bad(self._server.weather.ack_lost):
            raise NatsTimeout

    async def nak(self, delay: float) -> None:
        if message := self._found():
            message.visible_at = self._server.clock.seconds + delay


class Client:
    """One process's connection; as `petpro_common.messaging.broker.Broker` with its JetStream context."""

    is_connected = True

    def __init__(self, server: Server, service: str) -> None:
        self._server = server
        self.service = service
        self.jetstream = self
        self.checked_epoch = -1

    @property
    def reconnects(self) -> int:
        return self._server.reconnects

    async def until_connected(self) -> None:
        return None

    async def ensure_streams(self) -> None:
        self._server.make_streams()

    async def publish(
        self,
        subject: str,
        data: bytes,
        headers: Mapping[str, str],
    ) -> SimpleNamespace:
        await Pause("before publish")
        if self._server.is_bad(self._server.weather.lost):
            raise NatsTimeout
        taken = self._server.take(subject, data, headers)
        await Pause("after publish")
        if self._server.is_bad(self._server.weather.ack_lost):
            raise NatsTimeout
        return taken

    async def stream_info(self, name: str) -> SimpleNamespace:
        await Pause("before a look at a stream")
        if name == next(iter(STREAMS)):
            self.checked_epoch = self._server.epoch
        if name not in self._server.streams:
            raise NotFoundError
        stream = self._server.streams[name]
        first = min(stream.messages, default=stream.last_seq + 1)
        state = SimpleNamespace(first_seq=first, last_seq=stream.last_seq, messages=len(stream.messages))
        return SimpleNamespace(created=stream.created, state=state, config=SimpleNamespace(max_age=MAX_AGE_SECONDS))

    async def get_msg(self, name: str, seq: int) -> Stored:
        stream = self._server.streams.get(name)
        if not stream or seq not in stream.messages:
            raise NotFoundError
        return stream.messages[seq]
