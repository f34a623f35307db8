"""Replicas of the service as far as streams go, each with its own pool, notices and server, and clients of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from grpc import aio

from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1.notification_pb2_grpc import (
    NotificationServiceStub,
    add_NotificationServiceServicer_to_server,
)
from petpro_common import rpc
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.notices import Notices
from petpro_common.testing import running
from petpro_notification import messages, notifications
from petpro_notification.notifications import TOLD
from petpro_notification.servicer_streams import StreamingServicer
from petpro_notification.streams import Streams
from petpro_notification.wording import Wording
from services.notification.tests.conftest import World, confirmed

if TYPE_CHECKING:
    from petpro.notification.v1.notification_pb2_grpc import NotificationServiceAsyncStub

Api: TypeAlias = "NotificationServiceAsyncStub"


@dataclass
class Replica:
    api: Api
    database: Database
    streams: Streams
    edge: rpc.Edge
    server: aio.Server
    address: str

    async def tell(self, user_id: UUID, code: str) -> None:
        """What its consumer does with a booking of theirs."""
        async with self.database.transaction() as tx:
            await add(tx, user_id, code)


async def add(tx: Transaction, user_id: UUID, code: str) -> None:
    """Tells a person of a booking with this code."""
    told = messages.notification_request("booking.confirmed", confirmed(user_id, new_id(), reference_code=code))
    await notifications.tell(tx, Wording("en"), [told], [])


@asynccontextmanager
async def replica(world: World, most_streams: int = 1000, **settings: Any) -> AsyncIterator[Replica]:
    """A replica that runs beside the block."""
    told = world.settings.model_copy(update=settings)
    database = Database(told.database_url, told.database_password.get_secret_value(), pool_size=4)
    streams = Streams(database, told.stream_most_per_person)
    notices = Notices(database, database, TOLD)
    edge = rpc.Edge("notification", world.keys.verifier(), most_streams=most_streams)
    server = rpc.server(edge)
    add_NotificationServiceServicer_to_server(StreamingServicer(database, streams, told), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with (
        running(notices.pass_on(), notices.hear(streams.hear), streams.run()),
        aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel,
    ):
        yield Replica(NotificationServiceStub(channel), database, streams, edge, server, f"127.0.0.1:{port}")
        await server.stop(0)
    await database.close()


@dataclass
class Client:
    """Somebody who listens, and what they have heard."""

    call: Any
    heard: list[pb.Notification] = field(default_factory=list)
    heartbeats: int = 0
    end: str = ""

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.heard]

    async def hear(self) -> bool:
        """Hears one answer; whether there was one."""
        said = await self.call.read()
        if said is aio.EOF:
            return False
        match said.WhichOneof("said"):
            case "notification":
                self.heard.append(said.notification)
            case "heartbeat":
                self.heartbeats += 1
            case _:
                self.end = pb.StreamEndReason.Name(said.end.reason).removeprefix("STREAM_END_REASON_")
        return True

    async def until(self, notifications: int) -> None:
        """Hears until there are so many."""
        async with asyncio.timeout(60):
            while len(self.heard) < notifications and await self.hear():
                pass
        assert len(self.heard) == notifications

    async def until_heartbeat(self) -> None:
        before = self.heartbeats
        async with asyncio.timeout(60):
            while self.heartbeats == before and await self.hear():
                pass

    async def until_end(self) -> str:
        """Hears all; the reason of the end."""
        async with asyncio.timeout(60):
            while await self.hear():
                pass
        return self.end


def listen(world: World, api: Api, user_id: UUID, after: str = "", seconds: int = 900) -> Client:
    """A person who begins to listen, with a token that is good for so long."""
    metadata = (("authorization", f"Bearer {world.keys.person(user_id, seconds=seconds)}"),)
    return Client(api.StreamNotifications(pb.StreamNotificationsRequest(after=after), metadata=metadata))


async def listening(world: World, api: Api, user_id: UUID, after: str = "") -> Client:
    """A person who listens, and has heard all until now."""
    client = listen(world, api, user_id, after)
    await client.until_heartbeat()
    return client
