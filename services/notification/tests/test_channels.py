"""Each channel that has a sender has deliveries and a worker of its own; what nobody sends is left alone."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from petpro_common import tasks
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from petpro_notification.deliveries import end_old
from petpro_notification.directory import Person
from petpro_notification.domain import (
    CANNOT_WAIT,
    MUST_BE_TOLD,
    NEWS_FOR,
    Channel,
    Refused,
    Result,
    Sent,
    Suppressed,
    TryAgain,
    Type,
    goes_by,
)
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.stepped import SteppedDeliveries
from services.notification.tests.test_reminders import REMINDER

STANDING = "SELECT channel, status, reason FROM deliveries ORDER BY channel"


@dataclass
class Pigeons:
    """A sender that answers as it is told, and can stay away."""

    channel: Channel
    result: Result = field(default_factory=Sent)
    sent: list[tuple[str, Person]] = field(default_factory=list)
    is_away: bool = False

    def compose(self, due: Any, words: Any, names: Any, person: Person) -> str:
        return str(words.title)

    async def send(self, composed: str, person: Person) -> Result:
        self.sent.append((composed, person))
        if self.is_away:
            await asyncio.Event().wait()
        return self.result


def workers(world: World, *senders: Pigeons) -> list[SteppedDeliveries]:
    return [world.deliveries(), *map(world.deliveries, senders)]


async def told_siti_by(
    world: World, couriers: list[SteppedDeliveries], event_type: str = "booking.confirmed", **fields: Any
) -> None:
    """Has Siti, who wants to hear from us in every way, told by these."""
    siti = new_id()
    world.account.add(siti, "siti@example.com", "Siti Aminah", wishes=list(Channel))
    await world.tell_by(couriers, (event_type, confirmed(siti, new_id(), **fields)))


async def standing(world: World) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await world.rows(STANDING)]


async def test_each_channel_that_has_a_sender_gets_a_delivery_and_others_none(world: World) -> None:
    push = Pigeons(Channel.PUSH)
    mails, pushes = workers(world, push)
    await told_siti_by(world, [mails, pushes])
    async with world.mail.up():
        assert [await mails.deliver_due(), await pushes.deliver_due()] == [1, 1]
    assert await standing(world) == [("email", "sent", None), ("push", "sent", None)]
    [(title, person)] = push.sent
    assert title == "Your booking is confirmed"
    assert (person.phone_number, person.wishes) == ("+628123456789", frozenset(Channel))
    assert len(world.mail.mails) == 1


async def test_both_are_claimed_as_they_are_written_each_by_its_own_worker(world: World) -> None:
    async def all_are_sent() -> bool:
        return {row.status for row in await world.rows("SELECT status FROM deliveries")} == {"sent"}

    push = Pigeons(Channel.PUSH)
    couriers = [world.deliveries(each, delivery_poll_seconds=3600) for each in (None, push)]
    work = [asyncio.create_task(courier.run()) for courier in couriers]
    await eventually(lambda: all(courier.room for courier in couriers))
    try:
        async with world.mail.up():
            await told_siti_by(world, couriers)
            await eventually(all_are_sent)
    finally:
        await tasks.end(work)
    assert (len(push.sent), len(world.mail.mails)) == (1, 1)


async def test_a_channel_whose_server_hangs_holds_up_no_other(world: World) -> None:
    mails, pushes = workers(world, Pigeons(Channel.PUSH, is_away=True))
    for _ in range(20):
        await told_siti_by(world, [mails, pushes])
    hangs = asyncio.create_task(pushes.run())
    try:
        async with world.mail.up():
            while await mails.deliver_due():
                pass
    finally:
        await tasks.end([hangs])
    assert len(world.mail.mails) == 20


async def test_what_has_no_sender_here_is_left_to_those_that_have_one(world: World) -> None:
    push = Pigeons(Channel.PUSH)
    mails, pushes = workers(world, push)
    await told_siti_by(world, [mails, pushes])
    async with world.mail.up():
        assert await mails.deliver_due() == 1
        assert await mails.deliver_due() == 0
    assert not push.sent
    rows = await world.rows("SELECT status, tries FROM deliveries WHERE channel = 'push'")
    assert [tuple(row) for row in rows] == [("pending", 0)]
    assert await pushes.deliver_due() == 1


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Sent(), ("sent", None)),
        (Suppressed("no device"), ("suppressed", "no device")),
        (Refused("refused: 21211"), ("failed", "refused: 21211")),
        (TryAgain("status 503"), ("pending", "status 503")),
    ],
)
async def test_what_a_sender_says_is_what_becomes_of_it(
    world: World, result: Result, expected: tuple[str, str | None]
) -> None:
    mails, texts = workers(world, Pigeons(Channel.SMS, result))
    await told_siti_by(world, [mails, texts])
    await texts.deliver_due()
    assert (await standing(world))[1] == ("sms", *expected)


async def test_a_server_that_says_when_is_not_asked_before(world: World) -> None:
    mails, pushes = workers(world, Pigeons(Channel.PUSH, TryAgain("status 429", after_seconds=900)))
    await told_siti_by(world, [mails, pushes])
    await pushes.deliver_due()
    [row] = await world.rows("SELECT due_at - clock_timestamp() AS pause FROM deliveries WHERE channel = 'push'")
    assert timedelta(minutes=10) < row.pause <= timedelta(minutes=15)


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.SMS])
async def test_who_does_not_want_it_by_this_channel_gets_it_by_the_others(world: World, channel: Channel) -> None:
    budi, sender = new_id(), Pigeons(channel)
    world.account.add(budi, "budi@example.com", "Budi", wishes=["email"])
    mails, others = workers(world, sender)
    await world.tell_by([mails, others], ("booking.confirmed", confirmed(budi, new_id())))
    async with world.mail.up():
        await mails.deliver_due()
    await others.deliver_due()
    assert not sender.sent
    assert await standing(world) == [("email", "sent", None), (channel, "suppressed", "not wanted")]


@pytest.mark.parametrize(
    "event_type",
    ["user.email_verification_requested", "user.password_changed", "user.password_reset_requested"],
)
async def test_what_is_about_a_password_or_an_address_goes_by_mail_alone(world: World, event_type: str) -> None:
    senders = [Pigeons(Channel.PUSH), Pigeons(Channel.SMS)]
    couriers = workers(world, *senders)
    await told_siti_by(world, couriers, event_type, reset_id=str(new_id()), verification_id=str(new_id()))
    assert [row.channel for row in await world.rows(STANDING)] == ["email"]
    await world.rows("UPDATE deliveries SET channel = 'sms' RETURNING id")
    await couriers[2].deliver_due()
    assert not senders[1].sent, "nor when a row says otherwise"
    assert not world.account.tokens
    assert await standing(world) == [("sms", "suppressed", "not wanted")]


@pytest.mark.unit
def test_sms_are_few_and_pushes_are_all_that_is_no_secret() -> None:
    assert {type_ for type_ in Type if goes_by(type_, Channel.SMS)} == set(CANNOT_WAIT)
    assert {type_ for type_ in Type if not goes_by(type_, Channel.PUSH)} == set(MUST_BE_TOLD)
    assert all(goes_by(type_, Channel.EMAIL) for type_ in Type)


async def test_a_reminder_that_is_out_of_date_goes_by_no_channel(world: World) -> None:
    texts = Pigeons(Channel.SMS)
    couriers = workers(world, texts)
    await told_siti_by(world, couriers, "booking.reminder_due", **REMINDER)
    [row] = await world.rows("SELECT booking_id, user_id FROM notifications")
    cancelled = {"booking_id": str(row.booking_id), "user_id": str(row.user_id), "refund_amount": "0.00"}
    await world.tell_by(couriers[:1], ("booking.cancelled", cancelled))
    await couriers[1].deliver_due()
    assert not texts.sent
    assert ("sms", "suppressed", "out of date") in await standing(world)


async def test_news_that_are_old_go_by_mail_alone(world: World) -> None:
    push = Pigeons(Channel.PUSH)
    mails, pushes = workers(world, push)
    await told_siti_by(world, [mails, pushes])
    await grow_old(world)
    await pushes.deliver_due()
    async with world.mail.up():
        await mails.deliver_due()
    assert not push.sent
    assert await standing(world) == [("email", "sent", None), ("push", "suppressed", "out of date")]


async def test_what_nobody_sends_any_more_ends_when_it_is_old(world: World) -> None:
    await told_siti_by(world, workers(world, Pigeons(Channel.SMS)))
    await end_old(world.database)
    assert await standing(world) == [("email", "pending", None), ("sms", "pending", None)]
    await grow_old(world)
    await end_old(world.database)
    assert await standing(world) == [("email", "pending", None), ("sms", "suppressed", "out of date")]


async def test_what_is_in_hand_is_not_ended_as_old(world: World) -> None:
    await told_siti_by(world, workers(world, Pigeons(Channel.SMS)))
    await grow_old(world)
    await world.rows("UPDATE deliveries SET due_at = now() + interval '1 minute' RETURNING id")
    await end_old(world.database)
    assert ("sms", "pending", None) in await standing(world)


async def grow_old(world: World) -> None:
    for table in ("notifications", "deliveries"):
        statement = text(f"UPDATE {table} SET created_at = created_at - CAST(:age AS interval)")  # noqa: S608
        async with world.database.transaction() as tx:
            await tx.execute(statement, {"age": NEWS_FOR})
