"""What the catalog tells and hears, over a real broker with the rights of its NATS user."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import nats as nats_client
import orjson
import pytest
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from devstack import testing
from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import store_reviews
from petpro_catalog.consumer import HANDLERS
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import event_consumer
from petpro_common.messaging.relay import Relay
from services.catalog.tests.people import Catalog


@pytest.fixture
async def wire(catalog: Catalog, nats: testing.Broker) -> AsyncIterator[Subscription]:
    """Everything that leaves as an event, while the catalog's relay and consumer run."""
    broker = Broker("catalog", nats.url, nats.passwords["catalog"])
    await broker.connect()
    listener = await nats_client.connect(nats.operator_url)
    tasks = [
        asyncio.create_task(Relay(catalog.database, broker).run()),
        asyncio.create_task(event_consumer(catalog.database, broker, HANDLERS).run()),
    ]
    events = await listener.subscribe("petpro.events.>")
    await listener.flush()
    yield events
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await listener.close()
    await broker.close()


async def test_every_kind_of_event_leaves_as_a_cloud_event_in_the_order_of_the_changes(
    catalog: Catalog, wire: Subscription
) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    await catalog.employed(clinic)
    request = pb.CreateReviewRequest(booking_id=catalog.book(service), rating=5)
    await catalog.api.CreateReview(request, metadata=catalog.sari.headers)

    heard: list[Msg] = [await wire.next_msg(timeout=60) for _ in range(5)]

    assert sorted(message.subject for message in heard) == [
        "petpro.events.clinic.changed",
        "petpro.events.clinic.changed",
        "petpro.events.review.created",
        "petpro.events.service.changed",
        "petpro.events.staff.changed",
    ]
    for message in heard:
        headers = message.headers or {}
        assert headers["ce-specversion"] == "1.0"
        assert headers["ce-source"] == "petpro/catalog"
        assert f"petpro.events.{headers['ce-type']}" == message.subject
    of_clinic = [orjson.loads(message.data) for message in heard if "clinic.changed" in message.subject]
    assert [event["version"] for event in of_clinic] == [1, 2]


async def test_a_completed_booking_that_is_told_can_be_reviewed(catalog: Catalog, wire: Subscription) -> None:
    service = await catalog.offered(await catalog.approved())
    booking_id = new_id()
    event = {
        "event_type": "booking.completed",
        "booking_id": str(booking_id),
        "user_id": str(catalog.sari.id),
        "clinic_id": service.clinic_id,
        "service_id": service.id,
        "completed_at": datetime.now(UTC).isoformat(),
    }
    headers = {"ce-type": "booking.completed", "ce-id": str(uuid4()), "ce-subject": str(booking_id)}
    await wire._conn.jetstream().publish("petpro.events.booking.completed", orjson.dumps(event), headers=headers)

    await _until_known(catalog, booking_id)
    request = pb.CreateReviewRequest(booking_id=str(booking_id), rating=5)
    review = (await catalog.api.CreateReview(request, metadata=catalog.sari.headers)).review

    assert review.service_id == service.id
    assert catalog.played.asked == 0


async def _until_known(catalog: Catalog, booking_id: UUID) -> None:
    async with asyncio.timeout(60):
        while True:
            async with catalog.database.transaction() as tx:
                if await store_reviews.completed_booking(tx, booking_id):
                    return
            await asyncio.sleep(0.02)
