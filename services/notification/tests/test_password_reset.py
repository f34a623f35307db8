"""The mail by which a person sets a new password: it alone holds the token, made for each try."""

import asyncio
import contextlib
from email.message import EmailMessage

from petpro_common.ids import new_id
from petpro_common.testing import logged
from services.notification.tests.conftest import World

PAGE = "https://app.petpro.example/new-password"


async def forgot(world: World, *wishes: str) -> str:
    """Siti forgot her password; the id of her reset."""
    siti, reset_id = new_id(), str(new_id())
    world.account.add(siti, "siti@example.com", "Siti Aminah", wishes=wishes)
    world.account.resets.add(reset_id)
    await world.tell("user.password_reset_requested", user_id=str(siti), reset_id=reset_id)
    return reset_id


def bodies(mail: EmailMessage) -> tuple[str, str]:
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


async def test_the_mail_has_the_link_whatever_is_wanted_and_nothing_else_has(world: World) -> None:
    await forgot(world)
    with logged() as lines:
        async with world.mail.up():
            await world.deliveries().deliver_due()
    ((mail,), (token,)) = world.mail.mails, world.account.tokens
    plain, html = bodies(mail)
    assert mail["Subject"] == "Set a new password"
    assert f"\n\n{PAGE}#token={token}\n\n" in plain
    assert f'<a href="{PAGE}#token={token}">{PAGE}#token={token}</a>' in html
    tables = await world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    kept = [await world.rows(f"SELECT t::text FROM {table.tablename} AS t") for table in tables]  # noqa: S608
    assert "Set a new password" in str(kept)
    assert token not in str(kept)
    assert token not in str(lines)


async def test_a_reset_that_is_over_sends_no_mail(world: World) -> None:
    world.account.resets.remove(await forgot(world))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert not world.mail.mails
    [row] = await world.rows("SELECT status, reason FROM deliveries")
    assert tuple(row) == ("suppressed", "out of date")


async def test_a_mail_that_is_sent_again_after_a_crash_is_the_same_with_a_token_of_its_own(world: World) -> None:
    await forgot(world)
    world.mail.holds_its_answer = True
    async with world.mail.up():
        dying = asyncio.create_task(world.deliveries().deliver_due())
        await world.mail.arrived.wait()
        dying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dying
        world.mail.holds_its_answer = False
        await world.make_due()
        assert await world.deliveries().deliver_due() == 1
    first, second = world.mail.mails
    assert first["Message-ID"] == second["Message-ID"]
    for mail, token in zip((first, second), world.account.tokens, strict=True):
        assert f"{PAGE}#token={token}\n" in bodies(mail)[0]
