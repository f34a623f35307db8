"""Publishing to JetStream with many acknowledgements outstanding, on one connection."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError


@dataclass(frozen=True)
class Taken:
    """The broker has the message, as number `seq` of a stream; `duplicate`: it knew its id before."""

    stream: str
    seq: int
    duplicate: bool


class Publisher:
    """Publishes on one client, which it asks for one subscription."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Taken]] = {}
        self._numbers = itertools.count()

    async def start(self) -> None:
        """Must have returned before anything is published."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Taken:
        """Publishes a message and waits until the broker has it.

        Raises NoStreamResponseError, APIError, another NatsError, or TimeoutError after so many seconds.
        """
        number, loop = str(next(self._numbers)), asyncio.get_running_loop()
        answer: asyncio.Future[Taken] = loop.create_future()
        self._waiting[number] = answer
        patience = loop.call_later(seconds, _give_up, answer)
        try:
            await self._client.publish(subject, payload, f"{self._inbox}.{number}", dict(headers))
            return await answer
        finally:
            patience.cancel()
            del self._waiting[number]

    async def _on_answer(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is None or answer.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            answer.set_exception(NoStreamResponseError())
            return
        said = orjson.loads(message.data)
        if "error" in said:
            answer.set_exception(_refusal(said["error"]))
        else:
            answer.set_result(Taken(said["stream"], said["seq"], said.get("duplicate", False)))


def _give_up(answer: asyncio.Future[Taken]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _refusal(said: dict[str, Any]) -> APIError:
    """What JetStream said; nats-py raises it."""
    try:
        APIError.from_error(said)
    except APIError as fault:
        return fault
    raise TypeError(said)
