"""Brokers that do not do at first what they are asked to."""

from typing import Any

from nats.errors import TimeoutError as NatsTimeout

from petpro_common.messaging.broker import Broker
from petpro_common.messaging.publisher import Taken
from petpro_common.messaging.subjects import EVENTS


class Faltering:
    """A broker that does not answer the first time that a message is published."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._failed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def publish(self, subject: str, payload: bytes, headers: Any) -> Taken:
        if len(self._failed) < 3 and headers["Nats-Msg-Id"] not in self._failed:
            self._failed.add(headers["Nats-Msg-Id"])
            raise NatsTimeout
        return await self._broker.publish(subject, payload, headers)


class Mistaken(Faltering):
    """A broker that says of each message at first that it has it already, and has lost it."""

    async def publish(self, subject: str, payload: bytes, headers: Any) -> Taken:
        if headers["Nats-Msg-Id"] not in self._failed:
            self._failed.add(headers["Nats-Msg-Id"])
            return Taken(EVENTS, 1000 + len(self._failed), duplicate=True)
        return await self._broker.publish(subject, payload, headers)
