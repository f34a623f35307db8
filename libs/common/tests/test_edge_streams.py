"""The edge again, for calls that are answered by a stream: nothing of it is less, and they are no calls in hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1 import notification_pb2_grpc
from petpro_common import context, errors, rpc
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing, eventually, logged, reason_of, serving
from petpro_common.testing.serving import edge_of

pytestmark = pytest.mark.unit

SECRET = "the kennel's safe is behind the picture"
HEARTBEAT = pb.StreamNotificationsResponse(heartbeat=pb.StreamHeartbeat())


class Barks(notification_pb2_grpc.NotificationServiceServicer):
    """Answers with heartbeats, as many as the test says, and then does what it wants."""

    def __init__(self) -> None:
        self.answers = 1
        self.then: Callable[[], Any] = lambda: None
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.seen: list[context.CallContext | None] = []
        self.ended_in: list[bool] = []

    async def StreamNotifications(self, request: Any, grpc_context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.seen.append(context.current())
        task = asyncio.current_task()
        try:
            for _ in range(self.answers):
                yield HEARTBEAT
            await self.goes_on.wait()
            self.then()
        finally:
            self.ended_in.append(asyncio.current_task() is task)

    async def ListNotifications(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        return pb.ListNotificationsResponse()


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def barks() -> Barks:
    return Barks()  # type: ignore[abstract]  # the other RPC is not asked for


def registering(barks: Barks) -> Callable[[aio.Server], None]:
    return lambda server: notification_pb2_grpc.add_NotificationServiceServicer_to_server(barks, server)


@pytest.fixture
async def stub(keys: KeyRing, barks: Barks) -> AsyncIterator[Any]:
    async with serving("notification", keys.verifier(), registering(barks)) as channel:
        yield notification_pb2_grpc.NotificationServiceStub(channel)


def listen(stub: Any, token: str = "", after: str = "") -> Any:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    return stub.StreamNotifications(pb.StreamNotificationsRequest(after=after), metadata=metadata)


async def refusal(call: Any) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as refused:
        async for _ in call:
            pass
    return refused.value


async def test_who_calls_is_known_and_until_when(stub: Any, barks: Barks, keys: KeyRing) -> None:
    siti = new_id()
    answers = [answer async for answer in listen(stub, keys.person(siti, exp=4_000_000_000))]
    assert answers == [HEARTBEAT]
    (seen,) = barks.seen
    assert seen is not None
    assert seen.caller is not None
    assert (seen.caller.user_id, seen.caller.until, bool(seen.request_id)) == (siti, 4_000_000_000, True)


async def test_a_bad_token_and_a_broken_rule_are_refused_before_anything_is_done(
    stub: Any, barks: Barks, keys: KeyRing
) -> None:
    expired = await refusal(listen(stub, keys.person(new_id(), seconds=-1)))
    broken = await refusal(listen(stub, keys.person(new_id()), after="yesterday"))
    assert (expired.code(), reason_of(expired)) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert (broken.code(), reason_of(broken)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert barks.seen == []


@pytest.mark.parametrize("answers", [0, 2])
async def test_a_fault_of_ours_does_not_leak_its_text_at_any_place(stub: Any, barks: Barks, answers: int) -> None:
    def break_down() -> None:
        raise RuntimeError(SECRET)

    barks.answers, barks.then = answers, break_down
    with logged() as lines:
        fault = await refusal(listen(stub))
    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert SECRET not in f"{fault.details()} {fault.trailing_metadata()} {lines}"
    assert [line["event"] for line in lines] == ["call failed"]


async def test_a_typed_error_arrives_with_its_reason(stub: Any, barks: Barks) -> None:
    def refuse() -> None:
        raise errors.Forbidden

    barks.answers, barks.then = 0, refuse
    fault = await refusal(listen(stub))
    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")


async def test_streams_are_no_calls_in_hand_and_have_a_limit_of_their_own(keys: KeyRing, barks: Barks) -> None:
    barks.goes_on.clear()
    async with serving("notification", keys.verifier(), registering(barks), most_calls=1, most_streams=3) as channel:
        stub: Any = notification_pb2_grpc.NotificationServiceStub(channel)
        opened = [listen(stub) for _ in range(3)]
        for call in opened:
            assert await call.read() == HEARTBEAT
        fault = await refusal(listen(stub))
        assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert await stub.ListNotifications(pb.ListNotificationsRequest()) == pb.ListNotificationsResponse()
        barks.goes_on.set()
        for call in opened:
            assert await call.read() is aio.EOF


@pytest.mark.parametrize("answers", [1, 10_000_000])
async def test_who_hangs_up_has_all_of_it_ended_in_the_task_of_the_call(
    keys: KeyRing, barks: Barks, answers: int
) -> None:
    """While it waits, or while it writes more than anybody reads."""
    barks.answers = answers
    barks.goes_on.clear()
    edge = rpc.Edge("notification", keys.verifier())
    async with edge_of(edge, registering(barks)) as channel:
        calls = [listen(notification_pb2_grpc.NotificationServiceStub(channel)) for _ in range(20)]
        for call in calls:
            assert await call.read() == HEARTBEAT
        assert edge.streams.in_hand == 20
        for call in calls:
            call.cancel()
        await eventually(lambda: edge.streams.in_hand == 0)
    assert barks.ended_in == [True] * 20


async def test_what_nobody_reads_is_broken_off(keys: KeyRing, barks: Barks) -> None:
    barks.answers = 10_000_000
    edge = rpc.Edge("notification", keys.verifier())
    edge.streams.usually = 1
    async with edge_of(edge, registering(barks)) as channel:
        call = listen(notification_pb2_grpc.NotificationServiceStub(channel))
        await eventually(lambda: len(barks.ended_in) == 1)
        await eventually(lambda: edge.streams.in_hand == 0)  # once it is told so, though nobody reads that either
        call.cancel()


async def test_a_stream_outlives_the_age_at_which_its_connection_is_renewed(
    keys: KeyRing, barks: Barks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ages are shortened to a second; the library adds or takes a tenth."""
    monkeypatch.setattr(rpc, "_LONGEST_CONNECTION_SECONDS", 1)
    barks.goes_on.clear()
    async with serving("notification", keys.verifier(), registering(barks)) as channel:
        stub: Any = notification_pb2_grpc.NotificationServiceStub(channel)
        call = listen(stub)
        assert await call.read() == HEARTBEAT
        await asyncio.sleep(3)
        assert not call.done()
        await stub.ListNotifications(pb.ListNotificationsRequest())
        barks.goes_on.set()
        assert await call.read() is aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_request_that_is_a_stream_is_not_served(keys: KeyRing) -> None:
    async def swallow(requests: Any, grpc_context: Any) -> bytes:
        raise AssertionError("nobody may come here")

    handlers: Any = {"Swallow": grpc.stream_unary_rpc_method_handler(swallow)}
    generic = grpc.method_handlers_generic_handler("petpro.notification.v1.Other", handlers)
    async with serving(
        "notification", keys.verifier(), lambda server: server.add_generic_rpc_handlers((generic,))
    ) as at:
        call: Any = at.stream_unary("/petpro.notification.v1.Other/Swallow")
        with pytest.raises(aio.AioRpcError) as refused:
            await call(iter([b""]))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
