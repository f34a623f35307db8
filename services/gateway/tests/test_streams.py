"""Answers that are streams: server-sent events over HTTP, messages over gRPC and gRPC-Web, errors as everywhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from devstack.ports import free_port
from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1 import notification_pb2_grpc
from petpro_common.testing import eventually
from petpro_gateway.policy import Policy
from services.gateway.tests.edge import SERVICES, Edge, running
from services.gateway.tests.servicers import Context, Upstream
from services.gateway.tests.test_grpc import reason

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/v1/notifications:stream"
METHOD = "petpro.notification.v1.NotificationService/StreamNotifications"
LIST = "petpro.notification.v1.NotificationService/ListNotifications"
NEWS = "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55"
FULL = "00000000-0000-7000-8000-00000000f011"
"""After this one the service has no more streams to give."""
FIRST = pb.StreamNotificationsResponse(notification=pb.Notification(id=NEWS, title="Booked\nand paid"))
HEARTBEAT = pb.StreamNotificationsResponse(heartbeat=pb.StreamHeartbeat())
LAST = pb.StreamNotificationsResponse(end=pb.StreamEnd(reason=pb.STREAM_END_REASON_COME_BACK))


@dataclass
class Notifications(notification_pb2_grpc.NotificationServiceServicer):
    """Says one thing, and the last one when it is let."""

    upstream: Upstream
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    opened: int = 0
    open: int = 0

    async def StreamNotifications(  # noqa: N802
        self, request: pb.StreamNotificationsRequest, context: Context
    ) -> AsyncIterator[pb.StreamNotificationsResponse]:
        self.upstream.record("StreamNotifications", request, context)
        if request.after == FULL:
            status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="Too many.")
            info = error_details_pb2.ErrorInfo(reason="TOO_MANY_STREAMS", domain="notification.petpro")
            status.details.add().Pack(info)
            await context.abort_with_status(rpc_status.to_status(status))
        self.opened, self.open = self.opened + 1, self.open + 1
        try:
            yield FIRST
            yield HEARTBEAT
            await self.goes_on.wait()
            yield LAST
        finally:
            self.open -= 1

    async def ListNotifications(  # noqa: N802
        self, request: pb.ListNotificationsRequest, context: Context
    ) -> pb.ListNotificationsResponse:
        return pb.ListNotificationsResponse(next_page_token="more")


@pytest_asyncio.fixture(loop_scope="session")
async def notifications(upstream: Upstream) -> AsyncIterator[Notifications]:
    yield Notifications(upstream)  # type: ignore[abstract]  # the other RPC is not asked for


@asynccontextmanager
async def gateway(notifications: Notifications, policy: Policy, folder: Path) -> AsyncIterator[Edge]:
    server = aio.server()
    notification_pb2_grpc.add_NotificationServiceServicer_to_server(notifications, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    addresses = dict.fromkeys(SERVICES, notifications.upstream.address) | {"notification": f"127.0.0.1:{port}"}
    async with running(policy, addresses, folder) as edge:
        yield edge
    await server.stop(None)


@pytest_asyncio.fixture(loop_scope="session")
async def edge(notifications: Notifications, policy: Policy, tmp_path: Path) -> AsyncIterator[Edge]:
    async with gateway(notifications, policy, tmp_path) as started:
        yield started


async def read(answer: httpx.Response, until: bytes) -> bytes:
    """What has come until these bytes end it."""
    come = b""
    async with asyncio.timeout(60):
        async for chunk in answer.aiter_raw():
            come += chunk
            if come.endswith(until):
                break
    return come


def events(come: bytes) -> list[Any]:
    """What a reader of events makes of it: the data of each, which an empty line ends."""
    blocks = come.decode().split("\n\n")
    assert blocks.pop() == ""
    return [orjson.loads(block.removeprefix("data: ")) for block in blocks]


async def test_over_http_it_is_server_sent_events_as_they_happen(
    web: httpx.AsyncClient, dewi: dict[str, str], notifications: Notifications
) -> None:
    async with web.stream("GET", PATH, params={"after": NEWS}, headers={**dewi, "grpc-timeout": "1S"}) as answer:
        headers = answer.headers
        chunks = answer.aiter_raw()
        come = b""
        async with asyncio.timeout(60):
            while len(come.split(b"\n\n")) < 3:
                come += await anext(chunks)
        notifications.goes_on.set()
        async for chunk in chunks:
            come += chunk
    assert (answer.status_code, headers["content-type"]) == (200, "text/event-stream")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    first, second, third = events(come)
    assert (first["notification"]["title"], first["notification"]["is_read"]) == ("Booked\nand paid", False)
    assert (second, third) == ({"heartbeat": {}}, {"end": {"reason": "STREAM_END_REASON_COME_BACK"}})
    seen = notifications.upstream.last
    assert (seen.request.after, seen.seconds_left) == (NEWS, None)


async def test_an_answer_that_is_no_stream_stays_json(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    for accept in ("application/json", "text/event-stream"):
        answer = await web.get("/v1/notifications", headers={**dewi, "accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["next_page_token"] == "more"


async def test_errors_before_the_first_event_have_the_usual_shape(
    web: httpx.AsyncClient, dewi: dict[str, str], notifications: Notifications
) -> None:
    for query, headers, status, why in (
        ({}, {}, 401, "UNAUTHENTICATED"),
        ({"before": NEWS}, dewi, 400, "INVALID_REQUEST"),
        ({"after": FULL}, dewi, 429, "TOO_MANY_STREAMS"),
    ):
        answer = await web.get(PATH, params=query, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert answer.json()["details"][0]["reason"] == why
    assert (await web.post(PATH, headers=dewi)).status_code == 405
    assert notifications.opened == 0


async def test_a_service_that_is_away_is_503(
    policy: Policy, notifications: Notifications, dewi: dict[str, str], tmp_path: Path
) -> None:
    addresses = dict.fromkeys(SERVICES, notifications.upstream.address) | {"notification": f"127.0.0.1:{free_port()}"}
    async with running(policy, addresses, tmp_path) as edge, web_at(edge) as web:
        answer = await web.get(PATH, headers=dewi)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["details"][0]["reason"] == "UNAVAILABLE"


@asynccontextmanager
async def web_at(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as client:
        yield client


async def test_who_hangs_up_at_the_gateway_has_hung_up_at_the_service(
    web: httpx.AsyncClient, dewi: dict[str, str], notifications: Notifications
) -> None:
    async with web.stream("GET", PATH, headers=dewi) as answer:
        await read(answer, b'data: {"heartbeat":{}}\n\n')
        assert notifications.open == 1
    await eventually(lambda: notifications.open == 0)


async def test_streams_outlive_the_time_of_calls_and_take_no_calls_place(
    policy: Policy, notifications: Notifications, dewi: dict[str, str], tmp_path: Path
) -> None:
    limits = policy.limits.model_copy(update={"upstream_requests": 1, "upstream_streams": 3})
    own = policy.timeouts.methods | {LIST: 60}  # only streams are to outlive something here
    timeouts = policy.timeouts.model_copy(update={"default_seconds": 1, "methods": own})
    short = policy.model_copy(update={"limits": limits, "timeouts": timeouts})
    async with gateway(notifications, short, tmp_path) as edge, web_at(edge) as web:

        async def listen() -> bytes:
            async with web.stream("GET", PATH, headers=dewi) as answer:
                return await answer.aread()

        opened = [asyncio.create_task(listen()) for _ in range(3)]
        await eventually(lambda: notifications.open == 3)
        refused = await web.get(PATH, headers=dewi)
        assert (refused.status_code, refused.json()["details"][0]["reason"]) == (503, "UNAVAILABLE")
        assert (await web.get("/v1/notifications", headers=dewi)).status_code == 200
        await asyncio.sleep(2)
        assert not any(call.done() for call in opened)
        notifications.goes_on.set()
        for come in await asyncio.gather(*opened):
            assert events(come)[-1] == {"end": {"reason": "STREAM_END_REASON_COME_BACK"}}


async def test_what_does_not_end_by_itself_is_cut_off(
    policy: Policy, notifications: Notifications, dewi: dict[str, str], tmp_path: Path
) -> None:
    short = policy.model_copy(update={"timeouts": policy.timeouts.model_copy(update={"streams_seconds": 1})})
    async with gateway(notifications, short, tmp_path) as edge, web_at(edge) as web:

        async def is_cut_off() -> bool:
            async with web.stream("GET", PATH, headers=dewi) as answer:
                if answer.status_code != 200:
                    return False  # a busy service had not begun it within the second
                with pytest.raises(httpx.RemoteProtocolError):
                    await answer.aread()
            return True

        await eventually(is_cut_off)
        await eventually(lambda: notifications.open == 0)
        async with aio.insecure_channel(edge.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = listen_over_grpc(channel, dewi)
            with pytest.raises(aio.AioRpcError):
                async for _ in call:
                    pass


def listen_over_grpc(channel: aio.Channel, dewi: dict[str, str], after: str = "") -> Any:
    stub: Any = notification_pb2_grpc.NotificationServiceStub(channel)
    return stub.StreamNotifications(pb.StreamNotificationsRequest(after=after), metadata=tuple(dewi.items()))


async def test_over_grpc_it_is_messages_and_a_status(
    channel: aio.Channel, dewi: dict[str, str], notifications: Notifications
) -> None:
    call = listen_over_grpc(channel, dewi)
    assert [await call.read(), await call.read()] == [FIRST, HEARTBEAT]
    notifications.goes_on.set()
    assert [await call.read(), await call.read()] == [LAST, aio.EOF]
    assert await call.code() is grpc.StatusCode.OK
    assert (notifications.upstream.last.seconds_left or 0) > 60, "Envoy tells of its own limit"
    with pytest.raises(aio.AioRpcError) as refused:
        await listen_over_grpc(channel, dewi, FULL).read()
    assert reason(refused.value) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_STREAMS",
        "notification.petpro",
    )


async def test_over_grpc_web_it_is_messages_too_and_pages_of_others_may_read(
    web: httpx.AsyncClient, dewi: dict[str, str], notifications: Notifications
) -> None:
    notifications.goes_on.set()
    here = {"origin": "http://localhost:3000"}
    headers = {**dewi, **here, "content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = await web.post(f"/{METHOD}", content=bytes(5), headers=headers)
    body, found = answer.content, []
    while body[0] == 0:
        size = int.from_bytes(body[1:5], "big")
        found.append(pb.StreamNotificationsResponse.FromString(body[5 : 5 + size]))
        body = body[5 + size :]
    assert (found, b"grpc-status:0" in body) == ([FIRST, HEARTBEAT, LAST], True)
    over_http = await web.get(PATH, headers={**dewi, **here})
    for each in (answer, over_http):
        assert each.headers["access-control-allow-origin"] == "http://localhost:3000"
    asked = {**here, "access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    preflight = await web.options(PATH, headers=asked)
    assert (preflight.status_code, "authorization" in preflight.headers["access-control-allow-headers"]) == (200, True)
