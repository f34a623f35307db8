"""What people are told reaches them, whatever script their names and addresses are written in."""

from email import message_from_string, policy
from pathlib import Path
from uuid import uuid4

import pytest

from devstack.api import Refused
from tests.waiting import eventually
from tests.world import World

NAME = 'ליאת "Siti", \N{CAT FACE}'


@pytest.mark.parametrize("nickname", ["siti", "用户"])
async def test_a_mail_reaches_an_address_of_any_script(world: World, nickname: str) -> None:
    nickname += uuid4().hex[:8]
    clinic, person = await world.clinic(), await world.customer(email=f"{nickname}@例子.广告", full_name=NAME)
    await world.book(person, clinic.slot())
    address = f"{nickname}@xn--fsqu00a.xn--4rr70v"
    folder = Path(world.stack.endpoints["mail"]["folder"])

    async def kept() -> str | None:
        return _mail_to(address, folder)

    mail = message_from_string(await eventually("the mail", kept), policy=policy.default)
    (recipient,) = mail["To"].addresses
    assert (recipient.display_name, recipient.addr_spec) == (NAME, address)
    body = mail.get_body(("plain",))
    assert body is not None
    assert f"Hello {NAME}," in body.get_content()


async def test_a_password_is_changed_through_the_gateway_and_a_mail_says_so(world: World) -> None:
    old, new = uuid4().hex, uuid4().hex
    person = await world.customer(password=old)
    folder = Path(world.stack.endpoints["mail"]["folder"])
    change = {"current_password": old, "new_password": new}
    with pytest.raises(Refused) as refused:
        await world.visitor.post("/v1/users/me:changePassword", change)
    assert refused.value.status == 401

    await person.api.post("/v1/users/me:changePassword", change)
    with pytest.raises(Refused) as refused:
        await world.visitor.post("/v1/auth/token", {"email": person.email, "password": old})
    assert refused.value.reason == "BAD_CREDENTIALS"
    assert (await world.visitor.post("/v1/auth/token", {"email": person.email, "password": new}))["tokens"]

    async def kept() -> str | None:
        return _mail_to(person.email, folder)

    assert "Your password was changed" in await eventually("the mail", kept)


def _mail_to(address: str, folder: Path) -> str | None:
    mails = (file.read_text() for file in folder.glob("*.eml"))
    return next((mail for mail in mails if f"X-Envelope-To: {address}\n" in mail), None)
