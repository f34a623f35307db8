"""A service's durable consumer of a stream, as the broker keeps it. Where the broker has lost something of it, it is
made anew and reads everything again; the inbox knows what the service has had.

What it is to hear a process says once, at its start. While a release is rolled out old replicas connect anew too, and
would have what only newer ones handle passed over.

What may be wrong after the broker has come back:

1. The consumer is not there: it is made.
2. Its state cannot be read. The server (2.15) then keeps its folder for ever, and makes none of that name on disk until
   somebody deletes the folder and starts it again. So it is made in memory, anew with every start of the server.
3. Its state was cut off behind its four numbers, and the server takes that for whole: it believes that nothing is in
   hand, though not all that it has handed out was acknowledged. That would never come again.
"""

import asyncio

import structlog
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import NotFoundError, ServerError

from petpro_common.messaging.broker import Broker
from petpro_common.messaging.pull import ACK_WAIT_SECONDS, MOST_IN_HAND

_STATE_UNREADABLE = (10012, 10104)  # the server cannot create the consumer, or the store for it
_SECOND_LOOK_SECONDS = 0.3

_log = structlog.get_logger()


async def ensure_durable(broker: Broker, stream: str, subjects: list[str], *, is_start: bool) -> None:
    """Makes the service's consumer of a stream, named after the service, unless it is there and whole.

    One that is there is changed to these subjects at the start of a process alone; later on it is given what it lacks.
    To be called on each new connection before anything is pulled: what is handed out next covers up what was lost.
    """
    await broker.ensure_streams()
    found = await (_make if is_start else _find)(broker, stream, subjects)
    if await _has_lost_what_was_in_hand(broker, stream, found):
        _log.error("the broker has lost what a consumer had in hand; all is read again", stream=stream)
        await broker.jetstream.delete_consumer(stream, broker.service)
        await _make(broker, stream, subjects)


async def _find(broker: Broker, stream: str, subjects: list[str]) -> ConsumerInfo:
    try:
        found = await broker.jetstream.consumer_info(stream, broker.service)
    except NotFoundError:
        return await _make(broker, stream, subjects)
    heard = found.config.filter_subjects or []
    return found if set(subjects) <= set(heard) else await _make(broker, stream, sorted({*subjects, *heard}))


async def _make(broker: Broker, stream: str, subjects: list[str]) -> ConsumerInfo:
    config = ConsumerConfig(
        name=broker.service,
        durable_name=broker.service,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=MOST_IN_HAND,
        filter_subjects=subjects,
    )
    try:
        return await broker.jetstream.add_consumer(stream, config)
    except ServerError as fault:
        if fault.err_code not in _STATE_UNREADABLE:
            raise
    _log.error("the broker cannot read a consumer's state; it keeps it in memory", stream=stream)
    return await broker.jetstream.add_consumer(stream, config, mem_storage=True)


async def _has_lost_what_was_in_hand(broker: Broker, stream: str, seen: ConsumerInfo) -> bool:
    """With nothing in hand, all that was handed out has been acknowledged. In a cluster the numbers come a little
    later than the count, so they must stand."""
    if not _contradicts_itself(seen):
        return False
    await asyncio.sleep(_SECOND_LOOK_SECONDS)
    now = await broker.jetstream.consumer_info(stream, broker.service)
    return _contradicts_itself(now) and (now.delivered, now.ack_floor) == (seen.delivered, seen.ack_floor)


def _contradicts_itself(seen: ConsumerInfo) -> bool:
    if seen.num_ack_pending or seen.delivered is None or seen.ack_floor is None:
        return False
    return seen.delivered.consumer_seq != seen.ack_floor.consumer_seq
