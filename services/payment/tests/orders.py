"""Orders to the running service over NATS, and its answers."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import nats
from google.protobuf.message import Message

from petpro.saga.v1 import saga_pb2
from petpro_common.messaging.subjects import COMMANDS, REPLIES, command_subject
from services.payment.tests.world import PENDING


def envelope(order: Message, about: UUID) -> saga_pb2.Command:
    command = saga_pb2.Command(
        command_id=f"{order.DESCRIPTOR.name}-{about}",
        saga_id=str(about),
        saga_type="checkout",
        step=order.DESCRIPTOR.name,
        attempt=1,
        reply_to="petpro.replies.checkout",
    )
    command.payload.Pack(order)
    return command


async def give_orders(url: str, orders: Sequence[tuple[Message, UUID]]) -> None:
    connection = await nats.connect(url)
    for order, about in orders:
        data = envelope(order, about).SerializeToString()
        await connection.jetstream().publish(command_subject("payment", order), data, stream=COMMANDS)
        await asyncio.sleep(0.02)
    await connection.close()


async def definite_replies(url: str, wanted: int, seconds: float = 120) -> dict[str, saga_pb2.Reply]:
    """The definite answer to each command, once there are so many. A second, different one would be a fault."""
    connection = await nats.connect(url)
    subscription = await connection.jetstream().subscribe("petpro.replies.>", stream=REPLIES, ordered_consumer=True)
    replies: dict[str, saga_pb2.Reply] = {}
    deadline = time.monotonic() + seconds
    while len(replies) < wanted:
        assert time.monotonic() < deadline, f"{len(replies)} of {wanted} were answered"
        try:
            message = await subscription.next_msg(timeout=1)
        except TimeoutError:
            continue
        reply = saga_pb2.Reply.FromString(message.data)
        if reply.outcome != PENDING:
            assert replies.setdefault(reply.command_id, reply).outcome == reply.outcome
    await connection.close()
    return replies
