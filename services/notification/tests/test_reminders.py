"""A reminder is sent, unless the booking was cancelled or moved, or has begun, when it would be."""

from typing import Any

import pytest

from petpro_common.ids import new_id
from services.notification.tests.conftest import SATWA, World, confirmed

SITI, BOOKING = new_id(), new_id()
REMINDER = {"slot_date": "2026-12-01", "slot_time": "09:30", "starts_at": "2126-12-01T02:30:00+00:00"}
OVERTAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "cancelled": ("booking.cancelled", {"refund_amount": "0.00"}),
    "moved": ("booking.rescheduled", {"slot_date": "2026-12-01", "slot_time": "10:00"}),
    "moved to another day": ("booking.rescheduled", {"slot_date": "2026-12-02", "slot_time": "09:30"}),
}


async def tell(world: World, event_type: str, **fields: Any) -> None:
    about = {"user_id": str(SITI), "booking_id": str(BOOKING), "clinic_id": str(SATWA)}
    await world.tell(event_type, **{**about, **fields})


async def booked(world: World) -> None:
    """Siti has booked, and was told so by mail."""
    world.account.add(SITI, "siti@example.com", "Siti")
    await world.tell("booking.confirmed", **confirmed(SITI, BOOKING))
    await world.deliveries().deliver_due()
    world.mail.mails.clear()


async def reminders(world: World) -> list[tuple[str, str | None]]:
    rows = await world.rows(
        "SELECT status, reason FROM deliveries JOIN notifications ON notifications.id = notification_id"
        " WHERE type = 'booking_reminder'"
    )
    return [(row.status, row.reason) for row in rows]


async def test_a_reminder_says_when_where_and_under_which_code(world: World) -> None:
    async with world.mail.up():
        await booked(world)
        await tell(world, "booking.reminder_due", **REMINDER)
        await world.deliveries().deliver_due()
    (mail,) = world.mail.mails
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Tuesday, 1 December 2026 at 09:30" in body.get_content()
    assert "PP-7KQ2MX9D" in body.get_content()
    assert list(mail.iter_attachments()) == [], "the calendar has its entry"


@pytest.mark.parametrize("what", OVERTAKEN)
async def test_a_reminder_that_is_overtaken_before_its_mail_leaves_is_not_sent(world: World, what: str) -> None:
    async with world.mail.up():
        await booked(world)
        await tell(world, "booking.reminder_due", **REMINDER)
        event_type, fields = OVERTAKEN[what]
        await tell(world, event_type, **fields)
        await world.deliveries().deliver_due()
    assert await reminders(world) == [("suppressed", "out of date")]
    assert [mail["Subject"] for mail in world.mail.mails if "soon" in mail["Subject"]] == []
    assert len(world.mail.mails) == 1, "the news itself"


@pytest.mark.parametrize("what", OVERTAKEN)
async def test_a_reminder_that_comes_after_the_news_is_not_told_at_all(world: World, what: str) -> None:
    event_type, fields = OVERTAKEN[what]
    await world.tell("booking.confirmed", **confirmed(SITI, BOOKING))
    await tell(world, event_type, **fields)
    await tell(world, "booking.reminder_due", **REMINDER)
    assert await reminders(world) == []


async def test_a_reminder_of_what_has_begun_is_not_told(world: World) -> None:
    await tell(world, "booking.reminder_due", **{**REMINDER, "starts_at": "2020-12-01T02:30:00+00:00"})
    assert await reminders(world) == []


async def test_a_move_to_the_same_time_elsewhere_leaves_the_reminder_right(world: World) -> None:
    async with world.mail.up():
        await booked(world)
        await tell(world, "booking.reminder_due", **REMINDER)
        await tell(world, "booking.rescheduled", slot_date="2026-12-01", slot_time="09:30")
        await world.deliveries().deliver_due()
    assert await reminders(world) == [("sent", None)]


async def test_another_booking_of_the_person_changes_nothing(world: World) -> None:
    async with world.mail.up():
        await booked(world)
        await tell(world, "booking.reminder_due", **REMINDER)
        await tell(world, "booking.cancelled", booking_id=str(new_id()), refund_amount="0.00")
        await world.deliveries().deliver_due()
    assert await reminders(world) == [("sent", None)]
