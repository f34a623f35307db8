"""gRPC and gRPC-Web on the same port as HTTP."""

import asyncio
import base64
from typing import cast

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro.notification.v1 import notification_pb2, notification_pb2_grpc
from services.gateway.tests.servicers import BEGUN_BOOKING, Upstream, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOKING = "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a66"
LIST_BOOKINGS = "/petpro.booking.v1.BookingService/ListBookings"
GET_BOOKING = "/petpro.booking.v1.BookingService/GetBooking"
Metadata = tuple[tuple[str, str], ...]


@pytest.fixture
def metadata(dewi: dict[str, str]) -> Metadata:
    return tuple(dewi.items())


def reason(error: aio.AioRpcError) -> tuple[grpc.StatusCode, str, str]:
    """The code, and what ErrorInfo says; the details' own code must be the same for this to be read at all."""
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return error.code(), info.reason, info.domain


async def test_a_stub_calls_a_method(channel: aio.Channel, metadata: Metadata, upstream: Upstream) -> None:
    bookings = booking_pb2_grpc.BookingServiceStub(channel)
    request = booking_pb2.CancelBookingRequest(booking_id=BOOKING)
    answer = await bookings.CancelBooking(request, metadata=metadata)
    assert answer.booking.id == BOOKING
    assert upstream.last.metadata["x-request-id"]
    deadline = await upstream.deadline(lambda: bookings.CancelBooking(request, metadata=metadata), at_least=4)
    assert 4 < deadline < 5.5, "gRPC rounds a deadline up on its way"


async def test_a_shorter_deadline_of_the_client_counts(
    channel: aio.Channel, metadata: Metadata, upstream: Upstream
) -> None:
    bookings = booking_pb2_grpc.BookingServiceStub(channel)
    request = booking_pb2.CancelBookingRequest(booking_id=BOOKING)
    deadline = await upstream.deadline(
        lambda: bookings.CancelBooking(request, metadata=metadata, timeout=3), at_least=2
    )
    assert 2 < deadline < 3.5, "gRPC rounds a deadline up on its way"


async def test_a_longer_deadline_of_the_client_does_not(channel: aio.Channel, metadata: Metadata) -> None:
    bookings = booking_pb2_grpc.BookingServiceStub(channel)
    began = asyncio.get_running_loop().time()
    with pytest.raises(aio.AioRpcError) as refused:
        await bookings.ListBookings(booking_pb2.ListBookingsRequest(), metadata=metadata, timeout=60)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert asyncio.get_running_loop().time() - began < 30


async def test_details_of_a_refusal_arrive(channel: aio.Channel, metadata: Metadata) -> None:
    bookings = booking_pb2_grpc.BookingServiceStub(channel)
    with pytest.raises(aio.AioRpcError) as refused:
        await bookings.CancelBooking(booking_pb2.CancelBookingRequest(booking_id=BEGUN_BOOKING), metadata=metadata)
    assert reason(refused.value) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_BOOKING_STATUS", "booking.petpro")


async def test_without_token_a_stub_is_refused(channel: aio.Channel) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await booking_pb2_grpc.BookingServiceStub(channel).GetBooking(booking_pb2.GetBookingRequest())
    assert reason(refused.value) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "gateway.petpro")


async def test_a_token_for_another_audience_is_refused(channel: aio.Channel, upstream: Upstream) -> None:
    metadata = (("authorization", f"Bearer {token(upstream.keys[0], aud='another')}"),)
    with pytest.raises(aio.AioRpcError) as refused:
        await booking_pb2_grpc.BookingServiceStub(channel).GetBooking(
            booking_pb2.GetBookingRequest(), metadata=metadata
        )
    assert reason(refused.value) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "gateway.petpro")


async def test_methods_without_a_route_are_not_reachable(
    channel: aio.Channel, metadata: Metadata, upstream: Upstream
) -> None:
    calls = len(upstream.calls)
    with pytest.raises(aio.AioRpcError) as user:
        await account_pb2_grpc.AccountServiceStub(channel).GetUser(account_pb2.GetUserRequest(), metadata=metadata)
    assert reason(user.value) == (grpc.StatusCode.UNIMPLEMENTED, "ROUTE_NOT_FOUND", "gateway.petpro")
    with pytest.raises(aio.AioRpcError) as health:
        await channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)(b"")
    assert health.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(upstream.calls) == calls


async def test_a_service_that_is_away_is_unavailable(channel: aio.Channel, metadata: Metadata) -> None:
    notifications = notification_pb2_grpc.NotificationServiceStub(channel)
    with pytest.raises(aio.AioRpcError) as refused:
        await notifications.ListNotifications(notification_pb2.ListNotificationsRequest(), metadata=metadata)
    assert reason(refused.value) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "gateway.petpro")


async def test_grpc_web_carries_a_call(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    headers = dewi | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = await web.post(GET_BOOKING, content=_framed(BOOKING), headers=headers)
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    size = int.from_bytes(answer.content[1:5], "big")
    assert booking_pb2.GetBookingResponse.FromString(answer.content[5 : 5 + size]).booking.id == BOOKING
    assert (answer.content[5 + size], b"grpc-status:0" in answer.content[5 + size :]) == (0x80, True)


async def test_grpc_web_as_text_carries_a_call(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    headers = dewi | {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text"}
    answer = await web.post(GET_BOOKING, content=base64.b64encode(_framed(BOOKING)), headers=headers)
    assert BOOKING.encode() in base64.b64decode(answer.content)


async def test_grpc_web_without_token_is_refused_as_grpc(web: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/grpc-web+proto", "origin": "http://localhost:3000"}
    answer = await web.post(GET_BOOKING, content=_framed(BOOKING), headers=headers)
    assert (answer.headers["grpc-status"], answer.headers["grpc-message"]) == ("16", "A valid access token is needed.")
    assert "grpc-status-details-bin" in answer.headers
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_a_deadline_that_is_over_is_one_over_grpc_web_too(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    headers = dewi | {"content-type": "application/grpc-web+proto", "grpc-timeout": "0m"}
    answer = await web.post(LIST_BOOKINGS, content=bytes(5), headers=headers)
    status = status_pb2.Status.FromString(base64.b64decode(answer.headers["grpc-status-details-bin"] + "=="))
    assert (answer.headers["grpc-status"], status.code) == ("4", 4)


def _framed(booking_id: str) -> bytes:
    message = booking_pb2.GetBookingRequest(booking_id=booking_id).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message
