"""Pushes by FCM and Web Push: what devices show, which are removed, and who is reached again."""

import asyncio
import contextlib
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from petpro_common.ids import new_id
from petpro_common.testing import logged
from petpro_common.testing.certificates import Authority
from petpro_notification import devices
from petpro_notification.deliveries import Deliveries
from petpro_notification.senders.registry import open_senders
from petpro_notification.store_devices import Target
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.fake_fcm import FakeFcm
from services.notification.tests.loopback import serving
from services.notification.tests.played_browser import PushServer, encoded, new_key, point

TITLE = "Your booking is confirmed"
BODY = (
    "Your appointment is booked for Tuesday, 1 December 2026 at 09:30. You paid IDR 150,000. "
    "At the desk, please show your reference code: PP-7KQ2MX9D."
)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Around:
    """Google, the push service of browsers, and the worker of a process that is told to send pushes."""

    world: World
    fcm: FakeFcm
    server: PushServer
    url: str
    pushes: Deliveries
    open_again: Callable[..., Awaitable[Deliveries]]

    async def phone(self, user_id: UUID, token: str) -> None:
        await self._register(user_id, devices.app(token))

    async def browser(self, user_id: UUID, name: str) -> None:
        told = self.server.browser(name).subscription(self.url)
        hosts = [self.url.removeprefix("https://")]
        await self._register(user_id, devices.browser(told["endpoint"], **told["keys"], hosts=hosts))

    async def _register(self, user_id: UUID, target: Target) -> None:
        async with self.world.database.transaction() as tx:
            await devices.register(tx, user_id, target)

    async def siti(self, *phones: str, browsers: tuple[str, ...] = ()) -> UUID:
        """Siti, who wants pushes on these devices, is told of a booking."""
        siti = new_id()
        self.world.account.add(siti, "siti@example.com", "Siti Aminah", wishes=["push"])
        for token in phones:
            await self.phone(siti, token)
        for name in browsers:
            await self.browser(siti, name)
        await self.world.tell_by([self.pushes], ("booking.confirmed", confirmed(siti, new_id())))
        return siti

    async def try_again(self) -> None:
        await self.world.make_due()
        assert await self.pushes.deliver_due() == 1

    async def standing(self) -> tuple[str, str | None]:
        [row] = await self.world.rows("SELECT status, reason FROM deliveries")
        return row.status, row.reason

    async def left(self) -> set[str]:
        """The tokens of the devices that are there, of browsers their names."""
        return {row.token.rpartition("/")[2] for row in await self.world.rows("SELECT token FROM devices")}

    @property
    def told(self) -> list[str]:
        """Which devices showed something, once for each time."""
        return sorted([*self.fcm.tokens, *(shown["browser"] for shown in self.server.shown)])


@pytest.fixture
async def around(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Around]:
    folder = Authority().issue(tmp_path / "tls")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    monkeypatch.setattr("certifi.where", lambda: str(folder / "ca.crt"))
    key, fcm = new_key(), FakeFcm()
    server = PushServer(encoded(point(key)))
    async with AsyncExitStack() as stack:
        google = await stack.enter_async_context(serving(*fcm.routes()))
        url = await stack.enter_async_context(serving(*server.routes(), tls=tls))
        (tmp_path / "petpro_notification_fcm_account").write_text(fcm.account(google))
        (tmp_path / "petpro_notification_web_push_key").write_text(pem(key))
        monkeypatch.setenv("PETPRO_NOTIFICATION_SECRETS_DIR", str(tmp_path))
        monkeypatch.setenv("PETPRO_NOTIFICATION_FCM_URL", google)
        monkeypatch.setenv("PETPRO_NOTIFICATION_WEB_PUSH_CONTACT", "mailto:ops@petpro.example")

        async def pushes(**settings: Any) -> Deliveries:
            told = {"fcm": True, "web_push": True, "web_push_hosts": url.removeprefix("https://"), **settings}
            opened = open_senders(world.settings.model_copy(update=told), world.database)
            _, sender = await stack.enter_async_context(opened)
            return world.deliveries(sender)

        yield Around(world, fcm, server, url, await pushes(), pushes)


async def test_every_device_shows_title_content_and_ids(around: Around) -> None:
    await around.siti("phone", browsers=("laptop",))
    with logged() as lines:
        await around.pushes.deliver_due()
    [row] = await around.world.rows("SELECT id, booking_id FROM notifications")
    data = {"type": "booking_confirmed", "notification_id": str(row.id), "booking_id": str(row.booking_id)}
    [message] = around.fcm.messages
    assert message["notification"] == {"title": TITLE, "body": BODY}
    assert message["data"] == data
    assert message["android"]["notification"] == {"tag": str(row.id)}
    assert "collapse_key" not in message["android"]
    assert 43000 < int(message["android"]["ttl"].removesuffix("s")) <= 43200
    assert message["apns"]["headers"]["apns-collapse-id"] == str(row.id)
    assert around.server.shown == [
        {"browser": "laptop", "title": TITLE, "body": BODY, "tag": str(row.id), "data": data}
    ]
    [asked] = around.server.asked
    assert asked["Topic"] == urlsafe_b64encode(row.id.bytes).decode().rstrip("=")
    assert len(asked["Topic"]) <= 32
    assert 43000 < int(asked["TTL"]) <= 43200
    assert await around.standing() == ("sent", None)
    assert "Siti" not in str(lines)
    assert around.fcm.access[0] not in str(lines)


async def test_a_long_text_is_cut(around: Around) -> None:
    await around.siti("phone", browsers=("laptop",))
    long = "UPDATE notifications SET title = repeat('猫', 255), content = repeat('🐾', 900) RETURNING id"
    await around.world.rows(long)
    await around.pushes.deliver_due()
    assert len(around.fcm.messages[0]["notification"]["body"]) == 200
    assert around.told == ["laptop", "phone"]


async def test_who_has_no_device_is_sent_nothing(around: Around) -> None:
    await around.siti()
    await around.pushes.deliver_due()
    assert await around.standing() == ("suppressed", "no device")


async def test_nobody_hears_on_the_device_of_another(around: Around) -> None:
    await around.phone(new_id(), "another's")
    await around.siti("phone")
    await around.pushes.deliver_due()
    assert around.told == ["phone"]


@pytest.mark.parametrize("status", [404, 410])
async def test_devices_that_are_gone_are_removed_and_others_are_told(around: Around, status: int) -> None:
    around.fcm.says = {"old": "UNREGISTERED"}
    around.server.says = {"closed": status}
    await around.siti("phone", "old", browsers=("laptop", "closed"))
    await around.pushes.deliver_due()
    assert around.told == ["laptop", "phone"]
    assert await around.left() == {"laptop", "phone"}
    assert await around.standing() == ("sent", None)


async def test_when_all_devices_are_gone_there_is_nobody_to_push_to(around: Around) -> None:
    around.fcm.says = {"old": "UNREGISTERED"}
    await around.siti("old")
    await around.pushes.deliver_due()
    assert await around.left() == set()
    assert await around.standing() == ("suppressed", "no device")


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


async def test_who_has_taken_it_is_not_told_again_for_the_sake_of_another(around: Around) -> None:
    around.server.says = {"laptop": 503}
    await around.siti("phone", browsers=("laptop",))
    await around.pushes.deliver_due()
    assert await around.standing() == ("pending", "status 503")
    await around.try_again()
    assert (around.told, len(around.server.asked)) == (["phone"], 2)
    around.server.says = {}
    await around.try_again()
    assert (around.told, await around.standing()) == (["laptop", "phone"], ("sent", None))


async def test_it_is_sent_when_those_that_are_left_have_gone(around: Around) -> None:
    around.server.says = {"laptop": 503}
    await around.siti("phone", browsers=("laptop",))
    await around.pushes.deliver_due()
    around.server.says = {"laptop": 410}
    await around.try_again()
    assert (around.told, await around.standing()) == (["phone"], ("sent", None))
    assert await around.left() == {"phone"}


async def test_a_crash_between_sending_and_recording_replaces_what_is_shown(around: Around) -> None:
    await around.siti("phone")
    around.fcm.holds_its_answer = True
    dying = asyncio.create_task(around.pushes.deliver_due())
    await around.fcm.arrived.wait()
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying
    assert await around.standing() == ("pending", None)
    assert await around.pushes.deliver_due() == 0, "the dead worker's lease still stands"
    around.fcm.holds_its_answer = False
    await around.try_again()
    first, second = around.fcm.messages
    assert first["android"]["notification"]["tag"] == second["android"]["notification"]["tag"]
    assert first["apns"]["headers"]["apns-collapse-id"] == second["apns"]["headers"]["apns-collapse-id"]
    assert await around.standing() == ("sent", None)


async def test_one_access_token_serves_until_it_is_not_taken(around: Around) -> None:
    await around.siti("phone", "tablet")
    await around.pushes.deliver_due()
    assert (around.told, len(around.fcm.access)) == (["phone", "tablet"], 1)
    around.fcm.forgotten = {around.fcm.access[0]}
    await around.siti("other")
    await around.pushes.deliver_due()
    await around.try_again()
    assert (around.told, len(around.fcm.access)) == (["other", "phone", "tablet"], 2)


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


async def test_who_sends_to_apps_alone_leaves_browsers_alone(around: Around) -> None:
    await around.siti("phone", browsers=("laptop",))
    await (await around.open_again(web_push=False)).deliver_due()
    assert (around.told, await around.standing()) == (["phone"], ("sent", None))


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
