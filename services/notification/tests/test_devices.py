"""A person's devices: each is one person's, ten at most, and nobody else sees or removes them."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from sqlalchemy import text

from petpro.notification.v1 import device_pb2 as pb
from petpro.notification.v1.device_pb2_grpc import DeviceServiceStub, add_DeviceServiceServicer_to_server
from petpro_common.ids import new_id
from petpro_common.testing import eventually, reason_of, serving
from petpro_notification import devices
from petpro_notification.domain import MOST_DEVICES, leads_to
from petpro_notification.servicer_devices import DeviceServicer
from petpro_notification.settings import Settings
from services.notification.tests.conftest import World
from services.notification.tests.played_browser import Browser
from services.notification.tests.test_servicer import signed_in_as

if TYPE_CHECKING:
    from petpro.notification.v1.device_pb2_grpc import DeviceServiceAsyncStub

Api: TypeAlias = "DeviceServiceAsyncStub"
SITI, BUDI = new_id(), new_id()
MOZILLA = "https://updates.push.services.mozilla.com"
KNOWN = Settings.model_fields["web_push_hosts"].default.split(",")


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    def register(server: aio.Server) -> None:
        servicer = DeviceServicer(world.database, world.settings.push_services)
        add_DeviceServiceServicer_to_server(servicer, server)

    async with serving("notification", world.keys.verifier(), register) as channel:
        yield DeviceServiceStub(channel)


def browser(name: str = "one", at: str = MOZILLA) -> pb.RegisterDeviceRequest:
    subscription = Browser(name).subscription(at)
    keys = pb.WebPushKeys(**subscription["keys"])
    return pb.RegisterDeviceRequest(web_push=pb.WebPushSubscription(endpoint=subscription["endpoint"], keys=keys))


def phone(name: str = "Sitis-phone") -> pb.RegisterDeviceRequest:
    return pb.RegisterDeviceRequest(fcm_token=name)


def violations_of(refused: aio.AioRpcError) -> list[str]:
    """The fields that break a rule."""
    details = dict(list(refused.trailing_metadata() or ()))["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    broken = error_details_pb2.BadRequest()
    found = [detail.Unpack(broken) for detail in status_pb2.Status.FromString(details).details]
    return [each.field for each in broken.field_violations] if any(found) else []


async def registered(world: World, api: Api, user_id: UUID, request: pb.RegisterDeviceRequest) -> pb.Device:
    return (await api.RegisterDevice(request, metadata=signed_in_as(world, user_id))).device


async def listed(world: World, api: Api, user_id: UUID) -> list[str]:
    reply = await api.ListDevices(pb.ListDevicesRequest(), metadata=signed_in_as(world, user_id))
    return [device.id for device in reply.devices]


async def test_a_phone_and_a_browser_are_listed_to_their_owner_alone(world: World, api: Api) -> None:
    first = await registered(world, api, SITI, phone())
    second = await registered(world, api, SITI, browser())
    assert (first.kind, second.kind) == (pb.DEVICE_KIND_FCM, pb.DEVICE_KIND_WEB_PUSH)
    assert await listed(world, api, SITI) == [second.id, first.id]
    assert await listed(world, api, BUDI) == []


async def test_the_same_token_again_is_the_same_device_with_newer_keys(world: World, api: Api) -> None:
    first = await registered(world, api, SITI, browser())
    again = await registered(world, api, SITI, renewed := browser())
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert again.registered_at.ToDatetime() > first.registered_at.ToDatetime()
    rows = await world.rows("SELECT p256dh, auth FROM devices")
    keys = renewed.web_push.keys
    assert [tuple(row) for row in rows] == [(keys.p256dh, keys.auth)]


async def test_a_device_that_another_person_registers_is_theirs(world: World, api: Api) -> None:
    sitis = await registered(world, api, SITI, phone("shared"))
    budis = await registered(world, api, BUDI, phone("shared"))
    assert await listed(world, api, SITI) == []
    assert await listed(world, api, BUDI) == [budis.id]
    with pytest.raises(aio.AioRpcError) as refused:
        await api.DeleteDevice(pb.DeleteDeviceRequest(device_id=sitis.id), metadata=signed_in_as(world, SITI))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert len(await world.rows("SELECT FROM devices")) == 1


async def test_of_too_many_the_one_that_was_heard_of_longest_ago_goes(world: World, api: Api) -> None:
    known = [await registered(world, api, SITI, phone(f"phone-{n}")) for n in range(MOST_DEVICES)]
    await registered(world, api, SITI, phone("phone-0"))
    newest = await registered(world, api, SITI, phone("new"))
    assert set(await listed(world, api, SITI)) == {known[0].id, newest.id, *(each.id for each in known[2:])}


async def fill(world: World, user_id: UUID, name: str) -> None:
    for n in range(MOST_DEVICES):
        async with world.database.transaction() as tx:
            await devices.register(tx, user_id, devices.app(f"{name}-{n}"))


async def test_two_at_once_leave_no_more_than_there_may_be(world: World) -> None:
    """The second waits for the first, and counts what it has left."""

    async def second() -> None:
        async with world.database.transaction() as tx:
            await devices.register(tx, SITI, devices.app("second"))

    async def waits_or_is_done() -> bool:
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        return work.done() or bool(await world.rows(waiting))

    await fill(world, SITI, "phone")
    async with world.database.transaction() as tx:
        await devices.register(tx, SITI, devices.app("first"))
        await tx.execute(text("SELECT 1"))  # and what it removes is removed
        work = asyncio.create_task(second())
        await eventually(waits_or_is_done)
    await work
    left = {row.token for row in await world.rows("SELECT token FROM devices")}
    assert left == {"first", "second", *(f"phone-{n}" for n in range(2, MOST_DEVICES))}


async def test_a_token_that_two_register_at_once_is_one_of_theirs(world: World, api: Api) -> None:
    for n in range(10):
        both = [registered(world, api, user_id, phone(f"shared-{n}")) for user_id in (SITI, BUDI)]
        await asyncio.gather(*both)
    rows = await world.rows("SELECT token, count(*) AS times FROM devices GROUP BY token")
    assert {(row.token, row.times) for row in rows} == {(f"shared-{n}", 1) for n in range(10)}


async def test_two_who_exchange_their_devices_do_not_wait_for_each_other(world: World) -> None:
    """Each has as many as there may be, and so removes one: what the other has in hand is left to them."""

    async def gets(user_id: UUID, token: str) -> None:
        async with world.database.transaction() as tx:
            await devices.register(tx, user_id, devices.app(token))
            await both_have.wait()

    both_have = asyncio.Barrier(2)
    await fill(world, SITI, "siti")
    await fill(world, BUDI, "budi")
    await asyncio.gather(gets(SITI, "budi-0"), gets(BUDI, "siti-0"))
    rows = await world.rows("SELECT token, user_id FROM devices")
    owners = {row.token: row.user_id for row in rows}
    assert (owners["budi-0"], owners["siti-0"], len(owners)) == (SITI, BUDI, 2 * MOST_DEVICES)


async def test_one_who_signs_out_of_the_app_gets_no_more_there(world: World, api: Api) -> None:
    device = await registered(world, api, SITI, phone())
    request = pb.DeleteDeviceRequest(device_id=device.id)
    with pytest.raises(aio.AioRpcError) as refused:
        await api.DeleteDevice(request, metadata=signed_in_as(world, BUDI))
    assert reason_of(refused.value) == "DEVICE_NOT_FOUND"
    again = ("idempotency-key", "once")
    for _ in range(2):
        await api.DeleteDevice(request, metadata=signed_in_as(world, SITI, again))
    assert await listed(world, api, SITI) == []


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.RegisterDeviceRequest(), "fcm_token"),
        (pb.RegisterDeviceRequest(fcm_token="x", web_push=browser().web_push), "fcm_token"),
        (pb.RegisterDeviceRequest(fcm_token="x" * 2001), "fcm_token"),
        (pb.RegisterDeviceRequest(fcm_token="a phone"), "fcm_token"),
        (browser(at="http://updates.push.services.mozilla.com"), "web_push.endpoint"),
        (browser(at="https://169.254.169.254"), "web_push.endpoint"),
        (browser("x" * 2000), "web_push.endpoint"),
    ],
)
async def test_what_is_no_device_is_refused(
    world: World, api: Api, request_: pb.RegisterDeviceRequest, field: str
) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await registered(world, api, SITI, request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in violations_of(refused.value)
    assert await world.rows("SELECT FROM devices") == []


@pytest.mark.parametrize("key", ["p256dh", "auth"])
async def test_keys_that_are_none_are_refused(world: World, api: Api, key: str) -> None:
    for wrong in ("", "A" * (87 if key == "p256dh" else 23), "?"):
        request = browser()
        setattr(request.web_push.keys, key, wrong)
        with pytest.raises(aio.AioRpcError) as refused:
            await registered(world, api, SITI, request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.unit
@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/dA",
        "https://fcm.googleapis.com/wp/dA",
        "https://updates.push.services.mozilla.com/wpush/v2/gA",
        "https://web.push.apple.com/QA",
        "https://wns2-pn1p.notify.windows.com/w/?token=BQ",
    ],
)
def test_the_known_push_services_are_called(endpoint: str) -> None:
    assert leads_to(endpoint, KNOWN)


@pytest.mark.unit
@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com@127.0.0.1/x",
        "https://siti:secret@fcm.googleapis.com/x",
        "https://127.0.0.1\\@fcm.googleapis.com/x",
        "https://127.0.0.1#.notify.windows.com/x",
        "https://127.0.0.1?.notify.windows.com/x",
        "https://127.0.0.1\\.notify.windows.com/x",
        "https://[::1].notify.windows.com/x",
        "https://notify.windows.com.evil.example/x",
        "https://evilnotify.windows.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evil.example/https://fcm.googleapis.com/x",
        "https://localhost/x",
        "https://petpro-account:50051/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_nothing_else_is_called(endpoint: str) -> None:
    assert not leads_to(endpoint, KNOWN)
