"""What people are told reaches them, whatever script their names and addresses are written in."""

from collections.abc import Iterator
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from uuid import uuid4

import pytest

from devstack.api import Refused
from tests import terminal
from tests.e2e.events import published
from tests.waiting import eventually
from tests.world import World

NAME = 'ליאת "Siti", \N{CAT FACE}'


@pytest.mark.parametrize("nickname", ["siti", "用户"])
async def test_a_mail_reaches_an_address_of_any_script(world: World, nickname: str) -> None:
    nickname += uuid4().hex[:8]
    clinic, person = await world.clinic(), await world.customer(email=f"{nickname}@例子.广告", full_name=NAME)
    address = f"{nickname}@xn--fsqu00a.xn--4rr70v"
    token = _token(await _mailed(world, address, "Confirm your e-mail address"))
    await world.visitor.post("/v1/users:verifyEmail", {"token": token})
    await world.book(person, clinic.slot())
    mail = await _mailed(world, address, "confirmed")
    (recipient,) = mail["To"].addresses
    assert (recipient.display_name, recipient.addr_spec) == (NAME, address)
    body = mail.get_body(("plain",))
    assert body is not None
    assert f"Hello {NAME}," in body.get_content()


async def test_a_password_is_changed_through_the_gateway_and_a_mail_says_so(world: World) -> None:
    old, new = uuid4().hex, uuid4().hex
    person = await world.customer(password=old)
    change = {"current_password": old, "new_password": new}
    with pytest.raises(Refused) as refused:
        await world.visitor.post("/v1/users/me:changePassword", change)
    assert refused.value.status == 401

    await person.api.post("/v1/users/me:changePassword", change)
    with pytest.raises(Refused) as refused:
        await world.visitor.post("/v1/auth/token", {"email": person.email, "password": old})
    assert refused.value.reason == "BAD_CREDENTIALS"
    assert (await world.visitor.post("/v1/auth/token", {"email": person.email, "password": new}))["tokens"]

    assert await _mailed(world, person.email, "Your password was changed")


async def test_who_forgot_a_password_sets_another_by_the_link_of_a_mail(world: World) -> None:
    person, new = await world.customer(), uuid4().hex
    ask, reset = "/v1/auth/password:requestReset", "/v1/auth/password:reset"
    for address in (person.email, f"{uuid4().hex}@example.com"):
        assert await world.visitor.post(ask, {"email": address}) == {}
    token = _token(await _mailed(world, person.email, "Set a new password"))
    for refused_token in (f"{token}x", "wrong"):
        with pytest.raises(Refused) as refused:
            await world.visitor.post(reset, {"token": refused_token, "new_password": new})
        assert (refused.value.status, refused.value.reason) == (401, "BAD_RESET_TOKEN")
    assert await world.visitor.post(reset, {"token": token, "new_password": new}) == {}
    with pytest.raises(Refused) as refused:
        await world.visitor.post(reset, {"token": token, "new_password": uuid4().hex})
    assert refused.value.reason == "BAD_RESET_TOKEN"
    assert (await world.visitor.post("/v1/auth/token", {"email": person.email, "password": new}))["tokens"]
    assert await _mailed(world, person.email, "Your password was changed")

    [told] = [
        event.fields
        for event in await published(world.stack, "user.password_reset_requested")
        if event.fields["user_id"] == person.id
    ]
    assert told.keys() == {"event_type", "user_id", "reset_id"}
    assert token not in str(await person.api.get("/v1/notifications"))


async def test_whose_an_address_is_shows_by_the_link_of_a_mail(world: World) -> None:
    clinic, person = await world.clinic(), await world.customer(full_name="You have won")
    ask, verify = "/v1/users/me:requestVerification", "/v1/users:verifyEmail"
    with pytest.raises(Refused) as refused:
        await world.visitor.post(ask)
    assert refused.value.status == 401
    token = _token(await _mailed(world, person.email, "Confirm your e-mail address"))
    await world.book(person, clinic.slot())
    told = await _mailed(world, person.email, "confirmed")
    assert "You have won" not in told.as_string()

    for refused_token in (f"{token}x", "wrong"):
        with pytest.raises(Refused) as refused:
            await world.visitor.post(verify, {"token": refused_token})
        assert (refused.value.status, refused.value.reason) == (401, "BAD_VERIFICATION_TOKEN")
    assert (await person.api.get("/v1/users/me"))["user"]["verification_status"] == "unverified"
    assert await world.visitor.post(verify, {"token": token}, "once") == {}
    assert await world.visitor.post(verify, {"token": token}, "once") == {}, "the same request"
    with pytest.raises(Refused) as refused:
        await world.visitor.post(verify, {"token": token})
    assert refused.value.reason == "BAD_VERIFICATION_TOKEN"
    for _ in range(6):
        asked = (await person.api.post(ask))["user"]
        assert (asked["id"], asked["verification_status"]) == (person.id, "verified")

    shown = await terminal.petproctl(world.stack, "users", "show", person.id, "--json")
    assert shown.json["verification_status"] == "verified"
    events = await published(world.stack, "user.email_verification_requested")
    [event] = [each.fields for each in events if each.fields["user_id"] == person.id]
    assert event.keys() == {"event_type", "user_id", "verification_id"}
    assert token not in str(await person.api.get("/v1/notifications"))


async def test_who_asks_for_more_mails_than_five_is_told_when_the_next_may_be(world: World) -> None:
    person = await world.customer()
    for _ in range(4):
        await person.api.post("/v1/users/me:requestVerification")
    with pytest.raises(Refused) as refused:
        await person.api.post("/v1/users/me:requestVerification")
    assert (refused.value.status, refused.value.reason) == (429, "TOO_MANY_VERIFICATION_MAILS")


def _token(mail: EmailMessage) -> str:
    """That of the link in a mail."""
    body = mail.get_body(("plain",))
    assert body is not None
    link, token = next(line for line in body.get_content().splitlines() if "#" in line).split("#token=")
    assert link.startswith("https://")
    return str(token)


async def _mailed(world: World, address: str, subject: str) -> EmailMessage:
    """The mail to that address whose subject says so, once it is there."""
    folder = Path(world.stack.endpoints["mail"]["folder"])

    async def kept() -> EmailMessage | None:
        return next((mail for mail in _mails_to(address, folder) if subject in mail["Subject"]), None)

    return await eventually(f"the mail '{subject}'", kept)


def _mails_to(address: str, folder: Path) -> Iterator[EmailMessage]:
    for file in folder.glob("*.eml"):
        if f"X-Envelope-To: {address}\n" in (mail := file.read_text()):
            yield message_from_string(mail, EmailMessage, policy=policy.default)
