"""The notification service's surroundings: a migrated database, a played account and catalog, a mail server."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from grpc import aio
from sqlalchemy import text

from devstack.ports import free_port
from devstack.testing import MakeDatabase
from petpro.account.v1.account_pb2_grpc import add_AccountServiceServicer_to_server
from petpro.catalog.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from petpro_common import channels, rpc
from petpro_common.auth import ServiceTokens
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing
from petpro_notification import messages, notifications
from petpro_notification.directory import Directory
from petpro_notification.naming import Naming
from petpro_notification.senders.mail import Post
from petpro_notification.senders.sender import Sender
from petpro_notification.settings import Settings
from petpro_notification.wording import Wording
from services.notification.tests.played import Account, Catalog, MailServer
from services.notification.tests.stepped import SteppedDeliveries

SATWA, VACCINATION = new_id(), new_id()


@dataclass
class World:
    """Everything around the service, and the service's parts put together as its composition root does."""

    database: Database
    keys: KeyRing
    account: Account
    catalog: Catalog
    mail: MailServer
    directory: Directory
    settings: Settings

    def deliveries(self, sender: Sender | None = None, **other_settings: Any) -> SteppedDeliveries:
        """A worker of its own, as a replica or a restarted process would have; without a sender it sends mails."""
        settings = self.settings.model_copy(update=other_settings)
        naming = Naming(self.database, self.directory, Wording(settings.language))
        return SteppedDeliveries(self.database, self.directory, naming, sender or Post(settings), settings)

    async def tell(self, event_type: str, **fields: Any) -> None:
        """What the consumer does with an event."""
        await self.tell_all((event_type, fields))

    async def tell_all(self, *events: tuple[str, dict[str, Any]], courier: SteppedDeliveries | None = None) -> None:
        """What the consumer does with events that come together; a courier that does not run has no room."""
        await self.tell_by([courier or self.deliveries()], *events)

    async def tell_by(self, couriers: Sequence[SteppedDeliveries], *events: tuple[str, dict[str, Any]]) -> None:
        """The same, where these couriers are all that there are."""
        async with self.database.transaction() as tx:
            news = [messages.notification_request(*event) for event in events]
            await notifications.tell(tx, Wording(self.settings.language), news, couriers)

    async def rows(self, statement: str) -> list[Any]:
        async with self.database.transaction() as tx:
            return list((await tx.execute(text(statement))).all())

    async def make_due(self) -> None:
        """Lets the pauses and leases of all deliveries be over."""
        async with self.database.transaction() as tx:
            await tx.execute(text("UPDATE deliveries SET due_at = now() WHERE status = 'pending'"))


def confirmed(user_id: UUID, booking_id: UUID, /, **other: Any) -> dict[str, Any]:
    """The fields of booking.confirmed for a vaccination at Klinik Satwa."""
    fields = {
        "booking_id": str(booking_id),
        "reference_code": "PP-7KQ2MX9D",
        "user_id": str(user_id),
        "pet_id": str(new_id()),
        "clinic_id": str(SATWA),
        "service_id": str(VACCINATION),
        "slot_date": "2026-12-01",
        "slot_time": "09:30",
        "amount": "150000.00",
        "paid_amount": "150000.00",
        "currency": "IDR",
    }
    return {**fields, **other}


async def told_siti(world: World, address: str = "siti@example.com") -> None:
    """Has Siti, who is at this address, told of a booking."""
    siti = new_id()
    world.account.add(siti, address, "Siti Aminah")
    await world.tell("booking.confirmed", **confirmed(siti, new_id()))


async def status(world: World) -> tuple[str, str | None]:
    """How the first delivery stands, and why."""
    row = (await world.rows("SELECT status, reason FROM deliveries"))[0]
    return row.status, row.reason


async def is_sent(world: World) -> bool:
    return await status(world) == ("sent", None)


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
async def world(database: MakeDatabase, keys: KeyRing) -> AsyncIterator[World]:
    made = await database("notification")
    account = Account()  # type: ignore[abstract]  # nothing else is asked of it
    catalog = Catalog()  # type: ignore[abstract]  # nothing else is asked of it
    mail = MailServer(free_port())
    async with AsyncExitStack() as around:
        account_address = await around.enter_async_context(
            _running("account", keys, lambda server: add_AccountServiceServicer_to_server(account, server))
        )
        catalog_address = await around.enter_async_context(
            _running("catalog", keys, lambda server: add_CatalogServiceServicer_to_server(catalog, server))
        )
        tokens = ServiceTokens("notification", keys.service_key("notification"))
        to_account = await around.enter_async_context(channels.channel(account_address, tokens, deadline_seconds=60))
        to_catalog = await around.enter_async_context(channels.channel(catalog_address, tokens, deadline_seconds=60))
        settings = Settings.load(
            grpc_address="127.0.0.1:0",
            metrics_address="127.0.0.1:0",
            database_url=made.url,
            database_password=made.password,
            nats_url="nats://127.0.0.1:1",
            nats_password="not used here",
            account_address=account_address,
            catalog_address=catalog_address,
            service_jwks_file=keys.service_jwks_file,
            service_key=keys.service_key("notification"),
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            mail_from="PetPro <hello@petpro.example>",
            password_reset_page="https://app.petpro.example/new-password",
            email_verification_page="https://app.petpro.example/verify-email",
            delivery_poll_seconds=0.02,
            delivery_first_pause_seconds=0.02,
        )
        own = Database(made.url, made.password, pool_size=4)
        around.push_async_callback(own.close)
        yield World(own, keys, account, catalog, mail, Directory(to_account, to_catalog), settings)


@asynccontextmanager
async def _running(service: str, keys: KeyRing, register: Callable[[aio.Server], None]) -> AsyncIterator[str]:
    server = rpc.server(rpc.Edge(service, keys.verifier()))
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)
