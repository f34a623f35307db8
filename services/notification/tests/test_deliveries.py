"""A mail leaves once for each thing told, whatever is down, refused or killed."""

import asyncio
import contextlib

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2
from petpro_common.pool import Pool
from petpro_common.testing import eventually, logged
from petpro_notification.domain import Outcome, Status
from petpro_notification.naming import Naming
from services.notification.tests.conftest import SATWA, VACCINATION, World, is_sent, status, told_siti

SECRET = "Dear Siti Aminah, your code is 4711"


def knows_klinik_satwa(world: World) -> None:
    world.catalog.clinics[str(SATWA)] = catalog_pb2.Clinic(
        id=str(SATWA), name="Klinik Satwa, Menteng", timezone="Asia/Jakarta", version=3
    )
    world.catalog.services[str(VACCINATION)] = catalog_pb2.Service(
        id=str(VACCINATION), clinic_id=str(SATWA), name="Vaccination", duration_minutes=30, version=1
    )


async def tried_twice(world: World) -> bool:
    return bool(await world.rows("SELECT FROM deliveries WHERE tries >= 2"))


async def test_a_mail_goes_to_the_person_with_text_html_and_calendar_entry(world: World) -> None:
    knows_klinik_satwa(world)
    await told_siti(world)
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 1
        assert await world.deliveries().deliver_due() == 0
    (mail,) = world.mail.mails
    assert world.mail.recipients == ["siti@example.com"]
    assert mail["Subject"] == "Your booking at Klinik Satwa, Menteng is confirmed"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert "Hello Siti Aminah," in text.get_content()
    assert "PP-7KQ2MX9D" in text.get_content()
    assert html is not None
    assert "<h1" in html.get_content()
    (entry,) = mail.iter_attachments()
    calendar = entry.get_content()
    assert entry.get_content_type() == "text/calendar"
    assert "DTSTART:20261201T023000Z\r\nDTEND:20261201T030000Z" in calendar.replace("\n", "\r\n").replace("\r\r", "\r")
    assert await status(world) == ("sent", None)


async def test_a_name_learned_before_the_mail_also_stands_in_the_app(world: World) -> None:
    knows_klinik_satwa(world)
    await told_siti(world)
    assert (await world.rows("SELECT title FROM notifications"))[0].title == "Your booking is confirmed"
    async with world.mail.up():
        await world.deliveries().deliver_due()
    told = (await world.rows("SELECT title, content FROM notifications"))[0]
    assert told.title == "Your booking at Klinik Satwa, Menteng is confirmed"
    assert told.content.startswith("Vaccination at Klinik Satwa, Menteng is booked")


async def test_a_catalog_that_is_away_holds_no_mail_up(world: World) -> None:
    world.catalog.is_away = True
    await told_siti(world)
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert [mail["Subject"] for mail in world.mail.mails] == ["Your booking is confirmed"]


async def test_a_mail_server_that_was_down_gets_the_mail_when_it_is_up(world: World) -> None:
    await told_siti(world)
    worker = asyncio.create_task(world.deliveries().run())
    try:
        await eventually(lambda: tried_twice(world))
        assert world.mail.mails == []
        async with world.mail.up():
            await eventually(lambda: is_sent(world))
    finally:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    assert len(world.mail.mails) == 1


async def test_a_crash_between_sending_and_recording_sends_the_same_mail_again(world: World) -> None:
    await told_siti(world)
    world.mail.holds_its_answer = True
    async with world.mail.up():
        dying = asyncio.create_task(world.deliveries().deliver_due())
        await world.mail.arrived.wait()
        dying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dying
        assert await status(world) == ("pending", None)
        assert await world.deliveries().deliver_due() == 0, "the dead worker's lease still stands"
        world.mail.holds_its_answer = False
        await world.make_due()
        assert await world.deliveries().deliver_due() == 1
    first, second = world.mail.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert await status(world) == ("sent", None)


@pytest.mark.parametrize(
    "answer",
    [
        "554 Relay access denied",
        "554 5.7.1 <siti@example.com>: Relay access denied",
        "530 5.7.0 Authentication required",
        "550 relay not permitted, authentication required",
        "550 5.7.1 [192.0.2.5] is not allowed to send mail; see 5.1.1 of our rules",
        "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        "550 5.1.8 Bad sender's system address",
        "552 5.2.2 mailbox full",
    ],
)
async def test_a_mail_server_that_refuses_us_loses_no_mail(world: World, answer: str) -> None:
    await told_siti(world)
    async with world.mail.up():
        world.mail.refusal_of_the_address = answer
        await world.deliveries().deliver_due()
        assert await status(world) == ("pending", "SMTPRecipientsRefused")
        world.mail.refusal, world.mail.refusal_of_the_address = answer, None
        await world.make_due()
        await world.deliveries().deliver_due()
        assert await status(world) == ("pending", "SMTPDataError")
        world.mail.refusal = None
        await world.make_due()
        await world.deliveries().deliver_due()
        assert await is_sent(world)


async def test_a_mail_that_cannot_be_written_is_logged_without_what_it_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(Naming, "complete", break_down)
    await told_siti(world)
    with logged() as lines:
        await world.deliveries().deliver_due()
    line = next(line for line in lines if line["event"] == "delivery failed")
    (fault,) = line["exception"]
    assert fault["kind"] == "builtins.ValueError"
    assert fault["frames"][-1].endswith(":break_down")
    assert SECRET not in str(lines)
    assert await status(world) == ("pending", "ValueError")


async def test_after_the_last_try_the_delivery_has_failed(world: World) -> None:
    world.mail.refusal = "451 later"
    await told_siti(world)
    async with world.mail.up():
        for _ in range(3):
            await world.make_due()
            await world.deliveries(delivery_max_tries=3).deliver_due()
    assert await status(world) == ("failed", "SMTPDataError")
    await world.make_due()
    assert await world.deliveries().deliver_due() == 0


async def test_two_workers_at_once_send_each_mail_once(world: World) -> None:
    for _ in range(20):
        await told_siti(world)
    async with world.mail.up():
        first, second = world.deliveries(), world.deliveries()
        while sum(await asyncio.gather(first.deliver_due(), second.deliver_due())):
            pass
    assert len(world.mail.mails) == 20
    assert len({mail["Message-ID"] for mail in world.mail.mails}) == 20


async def test_a_try_that_ends_after_its_lease_has_no_say_but_that_it_has_left(world: World) -> None:
    """Whoever tries now may still send what an older try was refused."""
    await told_siti(world)
    slow, other = world.deliveries(), world.deliveries()
    (late,) = await slow._claim(1)
    await world.make_due()
    (newest,) = await other._claim(1)
    for outcome in (Outcome(Status.FAILED, "refused"), Outcome(Status.PENDING, "later")):
        await slow._record(late, outcome)
        assert await status(world) == ("pending", None)
    await slow._record(late, Outcome(Status.SENT))
    await other._record(newest, Outcome(Status.PENDING, "later"))
    assert await is_sent(world)


async def test_what_a_later_version_is_to_tell_waits_for_it_and_holds_nothing_up(world: World) -> None:
    await told_siti(world)
    async with world.database.transaction() as tx:
        await tx.execute(text("UPDATE notifications SET type = 'vaccination_due'"))
    await told_siti(world)
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 1
    rows = await world.rows("SELECT type, status, tries FROM deliveries JOIN notifications n ON n.id = notification_id")
    assert {tuple(row) for row in rows} == {("booking_confirmed", "sent", 1), ("vaccination_due", "pending", 0)}


async def test_what_waits_is_counted_while_commits_wait_for_a_lost_standby(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told_siti(world)
    monkeypatch.setattr(Pool, "committing", 100)  # more than the pool may have
    await world.deliveries().look()
    assert REGISTRY.get_sample_value("petpro_deliveries_waiting", {"channel": "email"}) == 1
