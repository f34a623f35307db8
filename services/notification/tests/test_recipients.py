"""Who gets a mail, at which address, and who gets none."""

import pytest

from petpro_common.ids import new_id
from petpro_common.testing import logged
from services.notification.tests.conftest import World, confirmed, is_sent, status, told_siti


async def test_who_does_not_want_mails_gets_none_and_is_told_in_the_app(world: World) -> None:
    budi = new_id()
    world.account.add(budi, "budi@example.com", "Budi", wishes=[])
    await world.tell("booking.confirmed", **confirmed(budi, new_id()))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert world.mail.mails == []
    assert await status(world) == ("suppressed", "not wanted")
    assert len(await world.rows("SELECT 1 FROM notifications")) == 1


async def test_that_a_password_was_changed_goes_by_mail_whatever_is_wanted(world: World) -> None:
    budi = new_id()
    world.account.add(budi, "budi@example.com", "Budi", wishes=[])
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


async def test_a_name_with_a_line_break_cannot_write_headers(world: World) -> None:
    mallory = new_id()
    world.account.add(mallory, "mallory@example.com", "Mallory\r\nBcc: everybody@example.com")
    await world.tell("booking.confirmed", **confirmed(mallory, new_id()))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    (mail,) = world.mail.mails
    assert mail["Bcc"] is None
    assert world.mail.recipients == ["mallory@example.com"]
