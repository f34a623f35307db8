"""A stream that takes nothing keeps back what waits for it, and nothing else."""

import nats as nats_client
import pytest
from nats.js.errors import APIError
from sqlalchemy import text

from devstack import testing
from petpro.payment.v1 import commands_pb2
from petpro_common.ids import new_id
from petpro_common.messaging import outbox
from petpro_common.messaging.relay import Relay
from petpro_common.messaging.subjects import COMMANDS, EVENTS, command_subject, event_subject
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

_ALL = text("SELECT count(*) FROM outbox WHERE published_at IS NULL")


async def test_commands_leave_while_the_stream_of_events_is_full(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    booking, broker = await database_of("booking"), await broker_of("booking")
    operator = await nats_client.connect(nats.operator_url)
    streams = operator.jetstream()

    async def limit_events(most: int, discard: str) -> None:
        config = (await streams.stream_info(EVENTS)).config
        await streams.update_stream(config.evolve(max_msgs=most, discard=discard))

    async def has_left() -> bool:
        return (await streams.stream_info(COMMANDS)).state.messages == 1

    async def all_have_left() -> bool:
        async with booking.reading() as reading:
            return bool((await reading.execute(_ALL)).scalar_one() == 0)

    await limit_events(1, "new")
    await broker.publish(event_subject("booking.confirmed"), b"", {})
    with pytest.raises(APIError, match="maximum messages exceeded"):  # at once, and by its own words
        await broker.publish(event_subject("booking.confirmed"), b"", {})
    relay = Relay(booking, broker)
    async with running(relay.run()):
        async with booking.transaction() as tx:
            for _ in range(300):
                outbox.add_event(tx, "booking", "booking.confirmed", new_id(), {})
        async with booking.transaction() as tx:
            command = commands_pb2.SubmitRefund(refund_id=str(new_id()))
            outbox.add_protobuf(tx, "command-1", command_subject("payment", command), "saga-1", command)
        await eventually(has_left)
        await limit_events(-1, "old")
        await eventually(all_have_left)
    await operator.close()
