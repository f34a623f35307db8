"""Streams as an app has them: server-sent events from a real gateway, of the service itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro_common.ids import new_id
from petpro_gateway.descriptors import read_contracts
from petpro_gateway.policy import read_policy
from services.gateway.tests.conftest import POLICY
from services.gateway.tests.edge import SERVICES, running
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.replicas import Replica, replica

SITI = new_id()
NOBODYS = "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55"


class Keys(account_pb2_grpc.AccountServiceServicer):
    """Publishes the keys of people's tokens."""

    def __init__(self, world: World) -> None:
        self._keys = world.keys

    async def GetJwks(self, request: account_pb2.GetJwksRequest, context: Any) -> account_pb2.GetJwksResponse:  # noqa: N802
        keys = [account_pb2.Jwk(**key) for key in await self._keys.account_keys()]
        return account_pb2.GetJwksResponse(keys=keys)


@asynccontextmanager
async def app(world: World, at: Replica, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An app at a gateway before this replica."""
    account = aio.server()
    account_pb2_grpc.add_AccountServiceServicer_to_server(Keys(world), account)  # type: ignore[abstract]
    port = account.add_insecure_port("127.0.0.1:0")
    await account.start()
    addresses = dict.fromkeys(SERVICES, f"127.0.0.1:{port}") | {"notification": at.address}
    async with (
        running(read_policy(POLICY, read_contracts()), addresses, folder) as edge,
        httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=60) as web,
    ):
        yield web
    await account.stop(0)


async def events(world: World, web: httpx.AsyncClient, user_id: UUID, seconds: int = 900) -> AsyncIterator[Any]:
    """Each event as it comes, until the stream ends."""
    headers = {"authorization": f"Bearer {world.keys.person(user_id, seconds=seconds)}"}
    async with web.stream("GET", "/v1/notifications:stream", headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        async for line in answer.aiter_lines():
            if line:
                yield orjson.loads(line.removeprefix("data: "))


async def test_heartbeats_and_news_come_one_by_one_and_an_end_when_the_service_drains(
    world: World, tmp_path: Path
) -> None:
    async with (
        replica(world, stream_heartbeat_seconds=0.1) as here,
        replica(world) as there,
        app(world, here, tmp_path) as web,
    ):
        listened = events(world, web, SITI)
        async with asyncio.timeout(60):
            assert [await anext(listened) for _ in range(3)] == [{"heartbeat": {}}] * 3
            await there.tell(SITI, "PP-1")
            async for event in listened:
                if "notification" in event:
                    assert event["notification"]["content"].endswith("PP-1.")
                    break
            here.streams.close()
            rest = [event async for event in listened if event != {"heartbeat": {}}]
        assert rest == [{"end": {"reason": "STREAM_END_REASON_COME_BACK"}}]


async def test_an_end_comes_when_the_token_runs_out(world: World, tmp_path: Path) -> None:
    async with replica(world) as here, app(world, here, tmp_path) as web:
        heard = [event async for event in events(world, web, SITI, seconds=5)]
    assert heard == [{"heartbeat": {}}, {"end": {"reason": "STREAM_END_REASON_TOKEN_EXPIRES"}}]


@pytest.mark.parametrize(("after", "status"), [("yesterday", 400), (NOBODYS, 404)])
async def test_what_is_refused_has_the_usual_shape(world: World, tmp_path: Path, after: str, status: int) -> None:
    await world.tell("booking.confirmed", **confirmed(SITI, new_id()))
    async with replica(world) as here, app(world, here, tmp_path) as web:
        headers = {"authorization": f"Bearer {world.keys.person(SITI)}"}
        answer = await web.get("/v1/notifications:stream", params={"after": after}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["details"][0]["domain"] == "notification.petpro"
