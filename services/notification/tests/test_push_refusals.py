"""What FCM and push services say of us: no device goes for it, nothing unknown is called, and no key is shown."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from petpro_common.testing.certificates import Authority
from services.notification.tests.conftest import World
from services.notification.tests.pushing import Around, around_pushes, pem


@pytest.fixture
async def around(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Around]:
    async with around_pushes(world, monkeypatch, tmp_path) as made:
        yield made


@pytest.mark.parametrize("says", [404, 403, 401, 302, "QUOTA_EXCEEDED", 500, 503])
async def test_what_fcm_says_of_us_removes_no_device_and_is_tried_again(around: Around, says: str | int) -> None:
    around.fcm.says = {"phone": says}
    await around.siti("phone")
    await around.pushes.deliver_due()
    assert await around.standing() == ("pending", f"status {429 if says == 'QUOTA_EXCEEDED' else says}")
    assert await around.left() == {"phone"}
    around.fcm.says = {}
    await around.try_again()
    assert (around.told, await around.standing()) == (["phone"], ("sent", None))


@pytest.mark.parametrize("says", [401, 403, 429, 500, 503])
async def test_what_a_push_service_says_of_us_removes_no_device_and_is_tried_again(around: Around, says: int) -> None:
    around.server.says = {"laptop": says}
    await around.siti(browsers=("laptop",))
    await around.pushes.deliver_due()
    assert await around.standing() == ("pending", f"status {says}")
    around.server.says = {}
    await around.try_again()
    assert (around.told, await around.standing()) == (["laptop"], ("sent", None))


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "SENDER_ID_MISMATCH"])
async def test_what_fcm_never_takes_is_not_tried_again(around: Around, code: str) -> None:
    around.fcm.says = {"phone": code}
    await around.siti("phone")
    await around.pushes.deliver_due()
    assert await around.standing() == ("failed", code)
    assert await around.left() == {"phone"}


async def test_it_is_not_asked_before_the_last_of_them_says(around: Around) -> None:
    around.fcm.says, around.fcm.headers = {"phone": 503}, {"Retry-After": "600"}
    around.server.says, around.server.headers = {"laptop": 429}, {"Retry-After": "1800"}
    await around.siti("phone", browsers=("laptop",))
    await around.pushes.deliver_due()
    [row] = await around.world.rows("SELECT extract(epoch FROM due_at - clock_timestamp()) AS pause FROM deliveries")
    assert 1500 < row.pause <= 1800


async def test_without_an_access_token_it_is_tried_again(around: Around) -> None:
    around.fcm.no_tokens = True
    await around.siti("phone")
    await around.pushes.deliver_due()
    assert await around.standing() == ("pending", "no access token: status 400")
    around.fcm.no_tokens = False
    await around.try_again()
    assert around.told == ["phone"]


async def test_a_push_service_that_sends_us_elsewhere_is_not_followed(around: Around) -> None:
    around.server.says, around.server.headers = {"laptop": 307}, {"Location": "/elsewhere"}
    await around.siti(browsers=("laptop",))
    await around.pushes.deliver_due()
    assert [asked["name"] for asked in around.server.asked] == ["laptop"]
    assert await around.standing() == ("pending", "status 307")


async def test_a_push_service_that_is_known_no_more_is_not_called(around: Around) -> None:
    await around.siti(browsers=("laptop",))
    await (await around.open_again(web_push_hosts="push.example")).deliver_due()
    assert around.server.asked == []
    assert await around.standing() == ("failed", "push service not known here")


async def test_a_push_service_whose_certificate_nobody_signed_hears_nothing(
    around: Around, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Authority().issue(tmp_path / "other")
    monkeypatch.setattr("certifi.where", lambda: str(other / "ca.crt"))
    pushes = await around.open_again()
    await around.siti(browsers=("laptop",))
    await pushes.deliver_due()
    assert around.server.asked == []
    assert await around.standing() == ("pending", "ClientConnectorCertificateError")


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("petpro_notification_web_push_key", pem(rsa.generate_private_key(65537, 2048))),
        ("petpro_notification_web_push_key", pem(ec.generate_private_key(ec.SECP384R1()))),
        ("petpro_notification_web_push_key", "a secret that is no key"),
        ("petpro_notification_fcm_account", '{"private_key": "a secret that is no key"}'),
    ],
    ids=["RSA", "another curve", "no key", "no account"],
)
async def test_keys_that_cannot_work_are_refused_at_start_and_not_shown(
    around: Around, tmp_path: Path, file: str, wrong: str
) -> None:
    (tmp_path / file).write_text(wrong)
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # of whatever kind; ValidationError is one
        await around.open_again()
    assert "a secret" not in str(refused.value)
    assert issubclass(ValidationError, ValueError)
