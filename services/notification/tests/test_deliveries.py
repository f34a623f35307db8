"""A mail leaves once for each thing told, whatever is down, refused, unwanted or killed."""

import asyncio
import contextlib

import pytest

from petpro.catalog.v1 import catalog_pb2
from petpro_common.ids import new_id
from petpro_common.testing import eventually, logged
from petpro_notification.naming import Naming
from services.notification.tests.conftest import SATWA, VACCINATION, World, confirmed

SECRET = "Dear Siti Aminah, your code is 4711"


async def told_siti(world: World, address: str = "siti@example.com") -> None:
    siti = new_id()
    world.account.add(siti, address, "Siti Aminah")
    await world.tell("booking.confirmed", **confirmed(siti, new_id()))


def knows_klinik_satwa(world: World) -> None:
    world.catalog.clinics[str(SATWA)] = catalog_pb2.Clinic(
        id=str(SATWA), name="Klinik Satwa, Menteng", timezone="Asia/Jakarta", version=3
    )
    world.catalog.services[str(VACCINATION)] = catalog_pb2.Service(
        id=str(VACCINATION), clinic_id=str(SATWA), name="Vaccination", duration_minutes=30, version=1
    )


async def status(world: World) -> tuple[str, str | None]:
    row = (await world.rows("SELECT status, reason FROM deliveries"))[0]
    return row.status, row.reason


async def is_sent(world: World) -> bool:
    return await status(world) == ("sent", None)


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


async def test_who_does_not_want_mails_gets_none_and_is_told_in_the_app(world: World) -> None:
    budi = new_id()
    world.account.add(budi, "budi@example.com", "Budi", wants_email=False)
    await world.tell("booking.confirmed", **confirmed(budi, new_id()))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert world.mail.mails == []
    assert await status(world) == ("suppressed", "not wanted")
    assert len(await world.rows("SELECT 1 FROM notifications")) == 1


async def test_that_a_password_was_changed_goes_by_mail_whatever_is_wanted(world: World) -> None:
    budi = new_id()
    world.account.add(budi, "budi@example.com", "Budi", wants_email=False)
    await world.tell("user.password_changed", user_id=str(budi))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert [mail["Subject"] for mail in world.mail.mails] == ["Your password was changed"]


async def test_people_are_asked_for_together(world: World) -> None:
    for number in range(3):
        await told_siti(world, f"siti{number}@example.com")
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 3
    assert world.account.asked == [world.account.people.keys()]
    assert sorted(world.mail.recipients) == [f"siti{number}@example.com" for number in range(3)]


async def test_an_account_service_that_was_away_is_asked_again(world: World) -> None:
    for number in range(3):
        await told_siti(world, f"siti{number}@example.com")
    world.account.is_away = True
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 3
        assert {row.reason for row in await world.rows("SELECT reason FROM deliveries")} == {"AioRpcError"}
        assert not world.mail.mails
        world.account.is_away = False
        await world.make_due()
        assert await world.deliveries().deliver_due() == 3
    assert len(world.mail.mails) == 3


async def test_who_is_gone_gets_no_mail(world: World) -> None:
    await world.tell("booking.confirmed", **confirmed(new_id(), new_id()))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert await status(world) == ("suppressed", "nobody to write to")


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
        "550 no such mailbox",
        "551 user not local",
        "553 mailbox name not allowed",
        "550 5.1.1 <siti@example.com>: Recipient address rejected: User unknown in relay recipient table",
        "550 5.2.1 the account that you tried to reach is disabled",
        "554 5.1.10 the domain takes no mail",
    ],
)
async def test_an_address_refused_for_good_is_not_tried_again(world: World, answer: str) -> None:
    code = answer.split()[0]
    await told_siti(world)
    async with world.mail.up():
        world.mail.refusal = answer
        await world.deliveries().deliver_due()
        assert await status(world) == ("failed", f"mail refused: {code}")
        world.mail.refusal, world.mail.refusal_of_the_address = None, answer
        await world.rows("UPDATE deliveries SET status = 'pending' RETURNING id")
        await world.make_due()
        await world.deliveries().deliver_due()
        assert await status(world) == ("failed", f"recipient refused: {code}")


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


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("siti@例子.广告", "siti@xn--fsqu00a.xn--4rr70v"),
        ("siti@straße.example", "siti@xn--strae-oqa.example"),
        ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
    ],
)
async def test_an_address_of_any_script_gets_its_mail(world: World, address: str, written: str) -> None:
    await told_siti(world, address)
    async with world.mail.up():
        await world.deliveries().deliver_due()
    (mail,) = world.mail.mails
    assert world.mail.recipients == [written]
    assert str(mail["To"]) == f"Siti Aminah <{written}>"
    assert await is_sent(world)


async def test_a_mail_server_of_ascii_alone_gets_what_it_can_take_and_is_not_asked_twice_for_the_rest(
    world: World,
) -> None:
    world.mail.offers_smtputf8 = False
    await told_siti(world, "用户@例子.广告")
    async with world.mail.up():
        with logged() as lines:
            await world.deliveries().deliver_due()
        assert await status(world) == ("failed", "the mail server does not offer SMTPUTF8")
        await told_siti(world, "siti@例子.广告")
        await world.make_due()
        assert await world.deliveries().deliver_due() == 1
    assert world.mail.recipients == ["siti@xn--fsqu00a.xn--4rr70v"]
    assert "用户" not in str(lines)
    assert "xn--" not in str(lines)


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


async def test_a_name_with_a_line_break_cannot_write_headers(world: World) -> None:
    mallory = new_id()
    world.account.add(mallory, "mallory@example.com", "Mallory\r\nBcc: everybody@example.com")
    await world.tell("booking.confirmed", **confirmed(mallory, new_id()))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    (mail,) = world.mail.mails
    assert mail["Bcc"] is None
    assert world.mail.recipients == ["mallory@example.com"]
