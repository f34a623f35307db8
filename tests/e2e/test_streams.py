"""What a person is told of their booking reaches their open app by itself, over HTTP and over gRPC."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import orjson
from grpc import aio

from devstack.api import NO_TLS
from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1 import notification_pb2_grpc
from tests.waiting import eventually
from tests.world import Customer, World

NONE_YET = "00000000-0000-0000-0000-000000000000"


async def heard(world: World, who: Customer, after: str, types: set[str]) -> list[Any]:
    """What the app of a person hears from after a notification on until it has heard of all these types."""
    found: list[Any] = []
    async with asyncio.timeout(60):
        async for event in _events(world, who, after):
            if (notification := event.get("notification")) and notification["booking_id"]:
                found.append(notification)
            if types <= {each["type"] for each in found}:
                break
    return found


async def _events(world: World, who: Customer, after: str) -> AsyncIterator[Any]:
    headers = {"authorization": f"Bearer {who.token}"}
    async with (
        httpx.AsyncClient(base_url=world.stack.gateway_url, trust_env=False, verify=NO_TLS, timeout=60) as web,
        web.stream("GET", "/v1/notifications:stream", params={"after": after}, headers=headers) as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream"
        async for line in answer.aiter_lines():
            if line:
                yield orjson.loads(line.removeprefix("data: "))


async def test_a_cancellation_is_heard_while_it_goes_on(world: World) -> None:
    clinic, person, other = await asyncio.gather(world.clinic(capacity=2), world.customer(), world.customer())
    listening = asyncio.create_task(heard(world, person, NONE_YET, {"booking_cancelled", "refund_settled"}))
    booking = await world.book(person, clinic.slot())
    of_another = await world.book(other, clinic.slot())
    await world.cancel(person.api, booking["id"])

    told = await listening

    assert told[0]["type"] == "booking_confirmed"
    assert {each["booking_id"] for each in told} == {booking["id"]} != {of_another["id"]}
    listed = (await person.api.get("/v1/notifications"))["notifications"]
    of_bookings = [each["id"] for each in listed if each["type"] != "email_verification"]
    assert sorted(each["id"] for each in told) == sorted(of_bookings)
    again = await heard(world, person, told[0]["id"], {"booking_cancelled", "refund_settled"})
    assert sorted(each["id"] for each in again) == sorted(each["id"] for each in told[1:])


async def test_it_is_the_same_over_grpc_and_over_grpc_web(world: World) -> None:
    clinic, person = await asyncio.gather(world.clinic(), world.customer())

    async def told() -> list[Any]:
        return list((await person.api.get("/v1/notifications"))["notifications"])

    [of_the_address] = await eventually("to be asked for the address", told)
    await world.book(person, clinic.slot())
    request = pb.StreamNotificationsRequest(after=of_the_address["id"])
    address = world.stack.gateway_url.removeprefix("http://")
    async with aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = notification_pb2_grpc.NotificationServiceStub(channel)
        call = stub.StreamNotifications(request, metadata=(("authorization", f"Bearer {person.token}"),), timeout=30)
        first = await call.read()
        call.cancel()
        with_deadline = stub.StreamNotifications(
            pb.StreamNotificationsRequest(), metadata=(("authorization", f"Bearer {person.token}"),), timeout=3
        )
        said = [answer.WhichOneof("said") async for answer in with_deadline]
        nobody = stub.StreamNotifications(request)
        assert await nobody.code() is grpc.StatusCode.UNAUTHENTICATED
    assert first.notification.type == "booking_confirmed"
    assert said == ["heartbeat", "end"]

    framed = request.SerializeToString()
    headers = {
        "authorization": f"Bearer {person.token}",
        "content-type": "application/grpc-web+proto",
        "x-grpc-web": "1",
    }
    async with (
        httpx.AsyncClient(base_url=world.stack.gateway_url, trust_env=False, verify=NO_TLS, timeout=60) as web,
        web.stream(
            "POST",
            "/petpro.notification.v1.NotificationService/StreamNotifications",
            content=b"\0" + len(framed).to_bytes(4, "big") + framed,
            headers=headers,
        ) as answer,
    ):
        come = b""
        async for chunk in answer.aiter_bytes():
            come += chunk
            if len(come) >= 5 + first.ByteSize():
                break
    assert come[5 : 5 + first.ByteSize()] == first.SerializeToString()
