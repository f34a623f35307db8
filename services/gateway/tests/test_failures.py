"""When a service is away, never answers, or has been away since the gateway started."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from uuid import uuid4

import grpc
import httpx
import pytest
import pytest_asyncio
from grpc import aio
from grpc_status import rpc_status
from joserfc.jwk import ECKey

from devstack.ports import free_port
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_common import tasks
from petpro_common.testing import eventually
from petpro_gateway.policy import Policy
from services.gateway.tests.conftest import LIST_BOOKINGS
from services.gateway.tests.edge import SERVICES, Edge, running
from services.gateway.tests.servicers import NEVER_ANSWERED, UNREAD_BOOKING, Upstream, new_key, token

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def black_hole() -> AsyncIterator[str]:
    """The address of something that takes connections and never says a word, as a frozen process does."""
    writers: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()


HOST, END = b" HTTP/1.1\r\nHost: petpro\r\n", b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "status", "code", "reason"),
    [
        (b"GET /v1/clinics HTTP/1.0\r\n\r\n", 426, 12, "HTTP_VERSION_TOO_OLD"),
        (b"GET /v1/clinics?query=" + b"x" * 17_000 + HOST + END, 431, 3, "HEADERS_TOO_LARGE"),
        (b"GET /v1/clinics" + HOST + b"X-Many: 1\r\n" * 101 + b"\r\n", 431, 3, "HEADERS_TOO_LARGE"),
        (b"POST /v1/clinics" + HOST + b"Transfer-Encoding: gzip" + END, 501, 12, "NOT_IMPLEMENTED"),
        (b"GET /v1/clinics/a%2Fb" + HOST + END, 400, 3, "INVALID_REQUEST"),
        (b"GET /v1/clinics/a%00b" + HOST + END, 400, 3, "INVALID_REQUEST"),
        (b"GET /v1/clinics HTTP/1.1" + END, 400, 3, "INVALID_REQUEST"),
        (b"BREW /v1/clinics" + HOST + END, 400, 3, "INVALID_REQUEST"),
    ],
)
async def test_what_envoy_cannot_read_is_answered_in_the_one_shape(
    edge: Edge, request_head: bytes, status: int, code: int, reason: str
) -> None:
    host, _, port = edge.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_head)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert (head.split()[1], b"content-type: application/json" in head) == (str(status).encode(), True)
    told = json.loads(body)
    assert (told["code"], told["details"][0]["reason"], len(told["message"]) > 20) == (code, reason, True)


async def test_a_service_that_is_away_is_503(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    answer = await web.get("/v1/notifications", headers=dewi)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, 14, "1")
    info, retry = answer.json()["details"]
    assert (info["reason"], info["domain"], retry["retry_delay"]) == ("UNAVAILABLE", "gateway.petpro", "1s")
    assert "127.0.0.1" not in answer.text


async def test_what_a_service_left_unread_is_503(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    answer = await web.get(f"/v1/bookings/{UNREAD_BOOKING}", headers=dewi)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, 14, "1")
    assert [detail.get("reason") for detail in answer.json()["details"]] == ["UNAVAILABLE", None]


async def test_a_service_that_does_not_answer_in_time_is_504(
    web: httpx.AsyncClient, dewi: dict[str, str], upstream: Upstream
) -> None:
    async def ask() -> None:
        answer = await web.get(NEVER_ANSWERED, headers=dewi)
        assert (answer.status_code, answer.json()["code"]) == (504, 4)

    assert 0 < await upstream.deadline(ask, at_least=0) < 1.25


async def test_what_is_beyond_the_calls_that_a_service_may_have_open_is_503_at_once(
    policy: Policy, upstream: Upstream, dewi: dict[str, str], tmp_path: Path
) -> None:
    limits = policy.limits.model_copy(update={"upstream_requests": 3})
    timeouts = policy.timeouts.model_copy(update={"methods": {LIST_BOOKINGS: 60}})
    few = policy.model_copy(update={"limits": limits, "timeouts": timeouts})
    async with (
        running(few, dict.fromkeys(SERVICES, upstream.address), tmp_path) as edge,
        httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as web,
    ):
        before = len(upstream.calls)
        opened = [asyncio.create_task(web.get(NEVER_ANSWERED, headers=dewi)) for _ in range(3)]
        await eventually(lambda: len(upstream.calls) == before + 3)
        answers = [await web.get(NEVER_ANSWERED, headers=dewi) for _ in range(5)]
        assert not any(call.done() for call in opened)
        await tasks.end(opened)
    assert [answer.status_code for answer in answers] == [503] * 5
    refused = answers[0]
    assert (refused.json()["details"][0]["reason"], refused.headers["retry-after"]) == ("UNAVAILABLE", "1")
    assert len(upstream.calls) == before + 3


async def test_a_frozen_service_is_504_over_http_and_deadline_exceeded_over_grpc(
    policy: Policy, upstream: Upstream, dewi: dict[str, str], black_hole: str, tmp_path: Path
) -> None:
    addresses = dict.fromkeys(SERVICES, upstream.address) | {"booking": black_hole}
    async with running(policy, addresses, tmp_path) as edge:
        async with httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as web:
            answer = await web.get(NEVER_ANSWERED, headers=dewi)
            headers = dewi | {"content-type": "application/grpc-web+proto"}
            path = f"/{LIST_BOOKINGS}"
            from_page = await web.post(path, content=bytes(5), headers=headers)
        assert (from_page.headers["grpc-status"], "x-petpro-grpc-status" in from_page.headers) == ("4", False)
        assert answer.status_code == 504
        assert answer.json()["details"][0]["reason"] == "DEADLINE_EXCEEDED"
        async with aio.insecure_channel(edge.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            bookings = booking_pb2_grpc.BookingServiceStub(channel)
            with pytest.raises(aio.AioRpcError) as refused:
                await bookings.ListBookings(booking_pb2.ListBookingsRequest(), metadata=tuple(dewi.items()))
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert rpc_status.from_call(cast(grpc.Call, refused.value)) is not None


class HangsUp:
    """A service that reads calls and hangs up without a word."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, asked: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        answers.write(b"\0\0\0\4\0\0\0\0\0")  # HTTP/2: its settings, which are none
        with contextlib.suppress(asyncio.IncompleteReadError):
            await asked.readexactly(24)  # the greeting
            kind = None
            while kind != 1:  # headers
                size, kind = int.from_bytes(await asked.readexactly(3), "big"), (await asked.readexactly(1))[0]
                await asked.readexactly(5 + size)
            self.calls += 1
        answers.transport.abort()


async def test_a_call_that_a_service_may_have_read_is_not_sent_again(
    policy: Policy, upstream: Upstream, tmp_path: Path
) -> None:
    service = HangsUp()
    server = await asyncio.start_server(service, "127.0.0.1", 0)
    catalog = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    addresses = dict.fromkeys(SERVICES, upstream.address) | {"catalog": catalog}
    async with (
        server,
        running(policy, addresses, tmp_path) as edge,
        httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as web,
    ):
        assert (await web.get("/v1/clinics")).status_code == 503
    assert service.calls == 1


async def test_tokens_that_cannot_be_checked_yet_are_503_and_not_401(
    policy: Policy, upstream: Upstream, dewi: dict[str, str], tmp_path: Path
) -> None:
    addresses = dict.fromkeys(SERVICES, upstream.address) | {"account": f"127.0.0.1:{free_port()}"}
    async with (
        running(policy, addresses, tmp_path, has_keys=False) as edge,
        httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as web,
    ):
        answer = await web.get("/v1/clinics", headers=dewi)
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (503, "UNAVAILABLE")
        assert (await web.get("/v1/clinics")).status_code == 200


async def test_signed_in_people_go_on_while_account_is_away(
    policy: Policy, upstream: Upstream, dewi: dict[str, str], tmp_path: Path
) -> None:
    account, address = await upstream.serve()
    addresses = dict.fromkeys(SERVICES, upstream.address) | {"account": address}
    keeping = policy.model_copy(update={"tokens": policy.tokens.model_copy(update={"keep_keys_seconds": 3600})})
    async with (
        running(keeping, addresses, tmp_path) as edge,
        httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as web,
    ):
        assert (await web.get("/v1/clinics", headers=dewi)).status_code == 200
        async with asyncio.timeout(60):
            while await edge.times_keys_fetched() < 4:  # so that the keys that are kept were among them
                await asyncio.sleep(0.1)
        await account.stop(None)
        await asyncio.sleep(policy.tokens.refresh_keys_seconds + 7)
        for known in (dewi, unseen(upstream.keys[0])):
            assert (await web.get("/v1/clinics", headers=known)).status_code == 200
        stranger = await web.get("/v1/clinics", headers=unseen(new_key("nobodys")))
        assert stranger.status_code in (401, 503)


def unseen(key: ECKey) -> dict[str, str]:
    """A token that no worker remembers."""
    return {"authorization": f"Bearer {token(key, jti=str(uuid4()))}"}
