"""Each event tells its person one thing, once, however often it arrives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats as nats_client
import orjson
import pytest

from devstack.testing import Broker as NatsServer
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_notification.consumer import consumer
from petpro_notification.wording import Wording
from services.notification.tests.conftest import SATWA, VACCINATION, World, confirmed

SITI, BOOKING, RESERVATION = new_id(), new_id(), new_id()
RESET = str(new_id())
APPOINTMENT = {"slot_date": "2026-12-02", "slot_time": "10:00:00", "service_id": str(VACCINATION)}
MONEY = {"amount": "75000.00", "currency": "IDR"}
EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "booking.confirmed": (confirmed(SITI, BOOKING), "booking_confirmed"),
    "booking.rescheduled": (APPOINTMENT, "booking_rescheduled"),
    "booking.reminder_due": ({**APPOINTMENT, "starts_at": "2126-12-02T03:00:00+00:00"}, "booking_reminder"),
    "booking.cancellation_refused": ({"reason": "REFUND_REFUSED"}, "cancellation_refused"),
    "booking.cancelled": ({"refund_amount": "75000.00", "currency": "IDR"}, "booking_cancelled"),
    "booking.completed": ({"service_id": str(VACCINATION)}, "booking_completed"),
    "booking.no_show": ({"refund_amount": "0.00", "currency": "IDR"}, "booking_no_show"),
    "checkout.failed": ({"reason": "CARD_DECLINED", "refund_amount": "0.00"}, "payment_declined"),
    "refund.succeeded": ({"refund_id": str(new_id()), **MONEY}, "refund_settled"),
    "refund.manual": ({"refund_id": str(new_id()), **MONEY}, "refund_delayed"),
    "reservation.expired": ({"service_id": str(VACCINATION)}, "reservation_expired"),
    "user.password_changed": ({"booking_id": None}, "password_changed"),
    "user.password_reset_requested": ({"booking_id": None, "reset_id": RESET}, "password_reset"),
}

Publish = Callable[..., Awaitable[str]]


@asynccontextmanager
async def listening(world: World, server: NatsServer) -> AsyncIterator[Publish]:
    """The service's consumer at work, and a way to publish what it hears."""
    broker = Broker("notification", server.url, server.passwords["notification"])
    await broker.connect()
    publisher = await nats_client.connect(server.operator_url)
    work = asyncio.create_task(consumer(world.database, broker, Wording("en"), [world.deliveries()]).run())

    async def publish(event_type: str, fields: dict[str, Any], event_id: str | None = None) -> str:
        ids = {"user_id": str(SITI), "booking_id": str(BOOKING), "reservation_id": str(RESERVATION)}
        event = {"event_type": event_type, **ids, "clinic_id": str(SATWA), **fields}
        ce_id = event_id or str(new_id())
        headers = {"ce-id": ce_id, "ce-type": event_type, "ce-subject": str(BOOKING)}
        await publisher.jetstream().publish(f"petpro.events.{event_type}", orjson.dumps(event), headers=headers)
        return ce_id

    try:
        yield publish
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await publisher.close()
        await broker.close()


async def until(world: World, statement: str, count: int) -> list[Any]:
    async with asyncio.timeout(60):
        while len(rows := await world.rows(statement)) < count:
            await asyncio.sleep(0.02)
    return rows


async def everything_heard(world: World, publish: Publish) -> None:
    """Returns when all that was published before has been handled: events of one subject are handled in order."""
    marker = await publish("booking.no_show", {"user_id": str(new_id())})
    await until(world, f"SELECT 1 FROM inbox WHERE message_id = '{marker}'", 1)  # noqa: S608  # an id of our own


@pytest.mark.parametrize("event_type", EVENTS)
async def test_an_event_that_comes_twice_tells_once_and_sends_one_mail(
    world: World, nats: NatsServer, event_type: str
) -> None:
    fields, type_ = EVENTS[event_type]
    world.account.add(SITI, "siti@example.com", "Siti")
    world.account.resets.add(RESET)
    async with listening(world, nats) as publish, world.mail.up():
        event_id = await publish(event_type, fields)
        await publish(event_type, fields, event_id)
        await everything_heard(world, publish)
        await world.deliveries().deliver_due()
    (row,) = await world.rows(f"SELECT * FROM notifications WHERE user_id = '{SITI}'")  # noqa: S608
    assert row.type == type_
    assert row.title
    assert row.content
    assert not row.is_read
    assert len(world.mail.mails) == 1


async def test_a_later_event_is_told_with_what_is_known_of_the_booking(world: World, nats: NatsServer) -> None:
    async with listening(world, nats) as publish:
        clinic = {"name": "Klinik Satwa", "timezone": "Asia/Jakarta", "version": 2}
        await publish("clinic.changed", clinic)
        await publish("clinic.changed", {**clinic, "name": "An older name", "version": 1})
        offer = {"service_id": str(VACCINATION), "name": "Vaccination", "duration_minutes": 30, "version": 1}
        await publish("service.changed", offer)
        await publish("booking.confirmed", confirmed(SITI, BOOKING))
        await publish("booking.rescheduled", APPOINTMENT)
        await publish("booking.cancelled", {"refund_amount": "150000.00", "currency": "IDR"})
        row = (await until(world, "SELECT * FROM notifications WHERE type = 'booking_cancelled'", 1))[0]
    assert row.title == "Your booking at Klinik Satwa is cancelled"
    assert "PP-7KQ2MX9D on Wednesday, 2 December 2026 at 10:00" in row.content
    assert "IDR\N{NO-BREAK SPACE}150,000 goes back to you" in row.content


async def test_events_that_come_together_are_told_each_with_what_is_known_of_it(world: World) -> None:
    bookings = {reference: new_id() for reference in ("PP-1", "PP-2", "PP-3")}
    confirmations = [confirmed(SITI, booking, reference_code=name) for name, booking in bookings.items()]
    await world.tell_all(*(("booking.confirmed", each) for each in confirmations))
    cancelled = {"user_id": str(SITI), "refund_amount": "0.00"}
    over = ("reservation.expired", {"user_id": str(SITI), "reservation_id": str(RESERVATION)})
    await world.tell_all(
        *(("booking.cancelled", {**cancelled, "booking_id": str(booking)}) for booking in bookings.values()), over
    )
    rows = await world.rows("SELECT booking_id, content FROM notifications WHERE type = 'booking_cancelled'")
    assert {row.booking_id: name for row in rows for name in bookings if name in row.content} == {
        booking: name for name, booking in bookings.items()
    }
    assert len(await world.rows("SELECT FROM deliveries WHERE status = 'pending'")) == 7


async def test_a_checkout_out_of_time_and_the_end_of_its_hold_are_told_once(world: World, nats: NatsServer) -> None:
    async with listening(world, nats) as publish:
        await publish("checkout.failed", {"reason": "PAYMENT_TIMED_OUT", "refund_amount": "0.00", "currency": "IDR"})
        await publish("reservation.expired", {"service_id": str(VACCINATION)})
        await everything_heard(world, publish)
    told = await world.rows(f"SELECT type, booking_id FROM notifications WHERE user_id = '{SITI}'")  # noqa: S608
    assert [tuple(row) for row in told] == [("checkout_failed", None)]


async def test_money_that_goes_back_after_the_hold_is_told_too(world: World, nats: NatsServer) -> None:
    async with listening(world, nats) as publish:
        await publish("reservation.expired", {"service_id": str(VACCINATION)})
        await publish("checkout.failed", {"reason": "SLOT_FULL", "refund_amount": "150000.00", "currency": "IDR"})
        rows = await until(world, "SELECT type, content FROM notifications ORDER BY created_at", 2)
    assert [row.type for row in rows] == ["reservation_expired", "checkout_failed"]
    assert "goes back to you in full" in rows[1].content


@pytest.mark.parametrize("broken", [{"user_id": "nobody"}, {"amount": "much"}, {"slot_date": None}])
async def test_a_broken_event_is_set_aside_and_blocks_nothing(
    world: World, nats: NatsServer, broken: dict[str, Any]
) -> None:
    async with listening(world, nats) as publish:
        await publish("booking.confirmed", confirmed(SITI, BOOKING, **broken))
        await publish("booking.confirmed", confirmed(SITI, BOOKING))
        await until(world, "SELECT 1 FROM notifications", 1)
        parked = await until(world, "SELECT subject FROM parked_messages", 1)
    assert parked[0].subject == "petpro.events.booking.confirmed"
