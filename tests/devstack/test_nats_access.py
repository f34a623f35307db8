"""Each service speaks on its own subjects and hears its own consumers of its own streams, and changes no stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats as nats_client
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, RePublish, StreamConfig
from nats.js.errors import BadRequestError

from devstack.testing import Broker
from petpro_common.testing import eventually


class Line:
    """A service's connection, and what the server refused it."""

    def __init__(self, client: Client, refusals: list[str]) -> None:
        self.client = client
        self.refusals = refusals

    @property
    def jetstream(self) -> JetStreamContext:
        return self.client.jetstream(timeout=30)

    @property
    def in_vain(self) -> JetStreamContext:
        """To ask for what is forbidden, which nobody answers."""
        return self.client.jetstream(timeout=1)

    async def refused(self, times: int) -> list[str]:
        """What was refused, when it was so many times; the server says so some time after the fact."""
        async with asyncio.timeout(60):
            while len(self.refusals) < times:
                await asyncio.sleep(0.01)
        return self.refusals


@asynccontextmanager
async def line_of(broker: Broker, service: str) -> AsyncIterator[Line]:
    refusals: list[str] = []

    async def note(error: Exception) -> None:
        refusals.append(str(error).lower())

    client = await nats_client.connect(
        broker.service_urls[service], inbox_prefix=f"_INBOX_{service}".encode(), error_cb=note
    )
    try:
        yield Line(client, refusals)
    finally:
        await client.close()


async def make_streams(line: Line) -> None:
    for name, subject in (
        ("PETPRO_EVENTS", "petpro.events.>"),
        ("PETPRO_COMMANDS", "petpro.commands.>"),
        ("PETPRO_REPLIES", "petpro.replies.>"),
    ):
        await line.jetstream.add_stream(StreamConfig(name=name, subjects=[subject]))


async def test_a_service_makes_the_streams_and_its_consumer_and_reads_what_another_said(nats: Broker) -> None:
    async with line_of(nats, "booking") as booking, line_of(nats, "notification") as notification:
        await make_streams(booking)
        await make_streams(notification)
        mailbox = await notification.jetstream.pull_subscribe(
            "petpro.events.>",
            durable="notification",
            stream="PETPRO_EVENTS",
            config=ConsumerConfig(ack_wait=30),
        )
        await booking.jetstream.publish("petpro.events.booking.confirmed", b"{}")
        [message] = await mailbox.fetch(1, timeout=30)
        await message.ack_sync()
        assert message.subject == "petpro.events.booking.confirmed"
        assert booking.refusals == notification.refusals == []


@pytest.mark.parametrize(
    ("service", "subject"),
    [
        ("notification", "petpro.events.booking.confirmed"),
        ("catalog", "petpro.events.payment.succeeded"),
        ("account", "petpro.commands.payment.refund"),
        ("payment", "petpro.events.booking.cancelled"),
    ],
)
async def test_a_service_cannot_speak_as_another(nats: Broker, service: str, subject: str) -> None:
    async with line_of(nats, "booking") as booking, line_of(nats, service) as impostor:
        await make_streams(booking)
        with pytest.raises(NatsTimeout):
            await impostor.jetstream.publish(subject, b"{}", timeout=0.3)
        assert "permissions violation" in (await impostor.refused(1))[0]
        assert (await booking.jetstream.stream_info("PETPRO_EVENTS")).state.messages == 0


async def test_a_service_cannot_listen_to_subjects_or_answers_of_others(nats: Broker) -> None:
    async with line_of(nats, "catalog") as catalog:
        await catalog.client.subscribe("petpro.events.>")
        await catalog.client.subscribe("_INBOX_payment.>")
        await catalog.client.subscribe(">")
        await catalog.refused(3)


async def test_a_service_cannot_read_or_remove_anothers_consumer_nor_the_streams(nats: Broker) -> None:
    async with line_of(nats, "booking") as booking, line_of(nats, "catalog") as catalog:
        await make_streams(booking)
        await booking.jetstream.pull_subscribe("petpro.events.>", durable="booking", stream="PETPRO_EVENTS")
        for forbidden in (
            catalog.in_vain.consumer_info("PETPRO_EVENTS", "booking"),
            catalog.in_vain.delete_consumer("PETPRO_EVENTS", "booking"),
            catalog.in_vain.purge_stream("PETPRO_EVENTS"),
            catalog.in_vain.delete_stream("PETPRO_EVENTS"),
        ):
            with pytest.raises(NatsTimeout):
                await forbidden
        await catalog.refused(4)


@pytest.mark.parametrize(
    ("service", "stream"),
    [
        ("account", "PETPRO_EVENTS"),
        ("notification", "PETPRO_COMMANDS"),
        ("catalog", "PETPRO_REPLIES"),
        ("payment", "PETPRO_REPLIES"),
        ("booking", "PETPRO_COMMANDS"),
    ],
)
async def test_a_service_has_no_consumer_of_a_stream_that_it_need_not_hear(
    nats: Broker, service: str, stream: str
) -> None:
    async with line_of(nats, "booking") as booking, line_of(nats, service) as curious:
        await make_streams(booking)
        with pytest.raises(NatsTimeout):
            await curious.in_vain.add_consumer(stream, ConsumerConfig(durable_name=service))
        assert (await curious.refused(1))[0].startswith("nats: permissions violation")


@pytest.mark.parametrize(
    "changed",
    [
        {"max_msgs": 1},
        {"republish": RePublish(src="petpro.events.user.forged", dest="petpro.commands.payment.submit_refund")},
    ],
    ids=["emptied", "speaking as another"],
)
async def test_a_service_changes_no_stream(nats: Broker, changed: dict[str, Any]) -> None:
    async with line_of(nats, "booking") as booking, line_of(nats, "account") as account:
        await make_streams(booking)
        before = (await booking.jetstream.stream_info("PETPRO_EVENTS")).config
        with pytest.raises(NatsTimeout):
            await account.in_vain.update_stream(before, **changed)
        with pytest.raises(BadRequestError, match="already in use"):
            await account.jetstream.add_stream(before, **changed)
        assert (await booking.jetstream.stream_info("PETPRO_EVENTS")).config == before


async def test_what_a_consumer_hands_out_to_anothers_subject_is_no_message_of_that_subject(nats: Broker) -> None:
    order = "petpro.commands.payment.submit_refund"
    async with line_of(nats, "booking") as booking, line_of(nats, "catalog") as catalog:
        await make_streams(booking)
        await catalog.jetstream.publish("petpro.events.review.forged", b"forged")
        await catalog.jetstream.add_consumer("PETPRO_EVENTS", ConsumerConfig(durable_name="catalog"))
        await catalog.client.publish("$JS.API.CONSUMER.MSG.NEXT.PETPRO_EVENTS.catalog", b"1", reply=order)

        async def found() -> bool:
            return (await booking.jetstream.stream_info("PETPRO_COMMANDS")).state.messages > 0

        await eventually(found)
        assert (await booking.jetstream.get_msg("PETPRO_COMMANDS", 1)).subject == "petpro.events.review.forged"


async def test_nobody_connects_without_a_password(nats: Broker) -> None:
    stranger = Client()
    with pytest.raises(NatsError, match=r"(?i)authorization"):
        await stranger.connect(nats.url, max_reconnect_attempts=0, allow_reconnect=False)
    await stranger.close()
