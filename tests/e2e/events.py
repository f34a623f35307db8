"""What has been published on PETPRO_EVENTS, read with the operator's rights."""

import json
from dataclasses import dataclass

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from devstack.api import Json
from devstack.running import RunningStack


@dataclass(frozen=True)
class Published:
    """One event as it stands in the stream."""

    subject: str
    headers: dict[str, str]
    fields: Json


async def published(stack: RunningStack, event_type: str) -> list[Published]:
    """All events of that type, in the order of their publishing."""
    connection = await nats.connect(stack.endpoints["nats"]["operator_url"])
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
    reader = await connection.jetstream().pull_subscribe(
        f"petpro.events.{event_type}", stream="PETPRO_EVENTS", config=config
    )
    found: list[Published] = []
    try:
        there = (await reader.consumer_info()).num_pending or 0
        while len(found) < there:
            found += map(_read, await reader.fetch(there - len(found), timeout=30))
        return found
    finally:
        await connection.close()


def _read(message: Msg) -> Published:
    return Published(message.subject, dict(message.headers or {}), json.loads(message.data))
