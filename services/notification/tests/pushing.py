"""Google, a push service of browsers, and the devices of Siti, around a worker that sends pushes."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from petpro_common.ids import new_id
from petpro_common.testing.certificates import Authority
from petpro_notification import devices
from petpro_notification.senders.registry import opened
from petpro_notification.store_devices import Target
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.fake_fcm import FakeFcm
from services.notification.tests.loopback import serving
from services.notification.tests.played_browser import PushServer, encoded, new_key, point
from services.notification.tests.stepped import SteppedDeliveries


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Around:
    """Google, the push service of browsers, and the worker of a process that is told to send pushes."""

    world: World
    fcm: FakeFcm
    server: PushServer
    url: str
    pushes: SteppedDeliveries
    open_again: Callable[..., Awaitable[SteppedDeliveries]]

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


@asynccontextmanager
async def around_pushes(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Around]:
    """What a process is told that sends pushes to both, whose keys lie in files of that folder."""
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

        async def pushes(**settings: Any) -> SteppedDeliveries:
            told = {"fcm": True, "web_push": True, "web_push_hosts": url.removeprefix("https://"), **settings}
            own = world.settings.model_copy(update=told)
            _, sender = (await stack.enter_async_context(opened(own))).senders(own, world.database)
            return world.deliveries(sender)

        yield Around(world, fcm, server, url, await pushes(), pushes)
