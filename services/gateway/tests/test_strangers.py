"""What a stranger sends too much of, through the gateway to a service behind its real edge."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro_common import channels, rpc
from petpro_common.auth import ServiceTokens
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing, eventually
from petpro_gateway.policy import Policy
from services.gateway.tests.edge import SERVICES, Edge, running
from services.gateway.tests.frames import frame, text
from services.gateway.tests.servicer_account import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ME = "/v1/users/me"
KEYS, GET_KEYS = "/.well-known/jwks.json", "/petpro.account.v1.AccountService/GetJwks"
EMPTY_MESSAGE = bytes(5)
BOMB = """
import sys, grpc
options = [("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)]
channel = grpc.insecure_channel(sys.argv[1], options, grpc.Compression.Gzip)
try:
    channel.unary_unary("/petpro.account.v1.AccountService/CreateToken")(bytes(100 << 20), timeout=20)
except grpc.RpcError as refused:
    print(refused.code().name)
"""
"""A program that sends a hundred mebibytes, which are a tenth of one on their way."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def account(keys: KeyRing) -> AsyncIterator[tuple[Account, str]]:
    """Account and catalog, and where they are."""
    servicer = Account(keys)  # type: ignore[abstract]  # the other RPCs are not asked for
    server = rpc.server(rpc.Edge("account", keys.verifier()))
    account_pb2_grpc.add_AccountServiceServicer_to_server(servicer, server)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog_pb2_grpc.CatalogServiceServicer(), server)  # type: ignore[abstract]
    address = f"127.0.0.1:{rpc.listen(server, '127.0.0.1:0')}"
    await server.start()
    async with channels.channel(address, ServiceTokens("booking", keys.service_key("booking"))) as to_others:
        servicer.others = account_pb2_grpc.AccountServiceStub(to_others)
        yield servicer, address
    await server.stop(0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(policy: Policy, account: tuple[Account, str], tmp_path_factory: Any) -> AsyncIterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("strangers")
    async with running(policy, dict.fromkeys(SERVICES, account[1]), folder) as edge:
        yield edge


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(gateway: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def siti(keys: KeyRing) -> dict[str, str]:
    """The headers of somebody who has an account, as everybody can."""
    return {"authorization": f"Bearer {keys.person(new_id())}"}


def connected(gateway: Edge) -> aio.Channel:
    return aio.insecure_channel(gateway.address, options=[("grpc.enable_http_proxy", 0)])


async def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code()


def most_memory(*, reset: bool = False) -> int:
    """The most that this process, in which the service runs, has had since that was last reset; in mebibytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) >> 10


async def test_a_compressed_message_is_refused_without_being_unpacked(gateway: Edge) -> None:
    before = most_memory(reset=True)
    sender = await asyncio.create_subprocess_exec(sys.executable, "-c", BOMB, gateway.address, stdout=subprocess.PIPE)
    said, _ = await sender.communicate()
    assert said.decode().strip() == "UNIMPLEMENTED"
    assert most_memory() - before < 50


async def test_a_long_error_of_one_caller_ends_nobodys_call(
    gateway: Edge, stranger: httpx.AsyncClient, account: tuple[Account, str], siti: dict[str, str]
) -> None:
    servicer, _ = account
    servicer.waiting = 0
    sign_in = {"email": "budi@example.com", "password": "his own"}
    budi = asyncio.ensure_future(stranger.post("/v1/auth/token", json=sign_in))
    await eventually(lambda: servicer.waiting == 1)
    edit = account_pb2.UpdateCurrentUserRequest(user=account_pb2.User(full_name="Siti"))
    edit.update_mask.paths.append("x" * 100_000)
    hours = {f"day {number}": {"open": "x"} for number in range(1000)}
    async with connected(gateway) as channel:
        stub = account_pb2_grpc.AccountServiceStub(channel)
        code = await refused(stub.UpdateCurrentUser(edit, metadata=tuple(siti.items())))
    answer = await stranger.post("/v1/clinics", json={"clinic": {"operating_hours": hours}}, headers=siti)
    servicer.may_answer.set()

    assert (await budi).status_code == 200
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (400, "INVALID_REQUEST")


async def test_a_list_that_is_too_long_keeps_a_service_busy_for_no_time(
    gateway: Edge, stranger: httpx.AsyncClient, siti: dict[str, str]
) -> None:
    """Three hundred thousand tiers are a message of less than a mebibyte; to look at each would take seconds."""
    clinic = catalog_pb2.Clinic()
    for _ in range(300_000):
        clinic.cancellation_policy.tiers.add()
    async with connected(gateway) as channel:
        stub = catalog_pb2_grpc.CatalogServiceStub(channel)
        request = catalog_pb2.CreateClinicRequest(clinic=clinic)
        began = time.process_time()
        code = await refused(stub.CreateClinic(request, metadata=tuple(siti.items())))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert time.process_time() - began < 1


@pytest.mark.parametrize("given", ["é", "\xff", "a" * 129, "a\tb", ""])
async def test_a_request_id_that_cannot_be_passed_on_is_replaced(
    stranger: httpx.AsyncClient, account: tuple[Account, str], siti: dict[str, str], given: str
) -> None:
    """Gateway, service and client know the call by the same one."""
    written = given.encode("latin-1")
    token = siti["authorization"].encode()
    headers = {b"authorization": token, b"x-request-id": written, b"x-petpro-kept-x-request-id": written}
    answer = await stranger.get(ME, headers=headers)
    assert answer.status_code == 200
    assert UUID.fullmatch(answer.headers["x-request-id"])
    assert account[0].request_ids[-1] == answer.headers["x-request-id"]


@pytest.mark.parametrize("given", ["a request, 7", '%REQ(:path)% it\'s "mine"', "a" * 128])
async def test_a_request_id_that_can_is_kept(
    stranger: httpx.AsyncClient, account: tuple[Account, str], siti: dict[str, str], given: str
) -> None:
    answer = await stranger.get(ME, headers=siti | {"x-request-id": given})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, given)
    assert account[0].request_ids[-1] == given


async def test_a_trace_state_of_many_systems_is_not_passed_on(
    stranger: httpx.AsyncClient, siti: dict[str, str]
) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
    trace["tracestate"] = ",".join(f"system{number}={'x' * 250}" for number in range(30))
    answers = [await stranger.get(ME, headers=siti | trace) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("headers", [{"x-junk": "a" * 15_500}, {f"x-{number:03}": "a" * 150 for number in range(90)}])
async def test_a_service_takes_every_header_that_the_gateway_takes(
    stranger: httpx.AsyncClient, siti: dict[str, str], headers: dict[str, str]
) -> None:
    answers = [await stranger.get(ME, headers=siti | headers) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}


async def calls_of_others(gateway: Edge) -> set[int]:
    """How as many calls end as a connection to a service needs to forget all headers of the calls before."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as others:
        return {(await others.get(KEYS, headers={"x-number": f"{n}" * 50})).status_code for n in range(60)}


@pytest.mark.parametrize("deadline", ["1.5S", "x", "1x", "-5m", "5000", "", "999999999m", "5S, 5S", "\xff"])
async def test_a_deadline_that_is_none_ends_nobodys_call(
    gateway: Edge, stranger: httpx.AsyncClient, deadline: str
) -> None:
    """The service would break off calls of others on the same connection, whose deadlines it could read no more."""
    headers = {b"content-type": b"application/grpc-web+proto", b"grpc-timeout": deadline.encode("latin-1")}
    answer = await stranger.post(GET_KEYS, content=EMPTY_MESSAGE, headers=headers)
    assert (answer.status_code, b"grpc-status:0" in answer.content) == (200, True)
    assert await calls_of_others(gateway) == {200}


@pytest.mark.parametrize(
    "header",
    ["a-bin", "-bin", "grpc-trace-bin", "grpc-encoding", "grpc-status", "grpc-previous-rpc-attempts", "x!y", "~", "x~"],
)
@pytest.mark.parametrize("kind", ["application/json", "application/grpc-web+proto"])
async def test_a_header_that_grpc_cannot_read_does_not_make_a_service_seem_away(
    stranger: httpx.AsyncClient, header: str, kind: str
) -> None:
    verb, path, body = ("GET", KEYS, b"") if kind == "application/json" else ("POST", GET_KEYS, EMPTY_MESSAGE)
    answer = await stranger.request(verb, path, content=body, headers={"content-type": kind, header: "x"})
    assert (answer.status_code, answer.headers.get("grpc-status", "0")) == (200, "0")


async def test_a_json_call_is_not_compressed_whatever_it_says(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get(KEYS, headers={"grpc-encoding": "gzip"})).status_code == 200


@pytest.mark.parametrize("wanted", ["", "x", "gzip"])
async def test_what_a_caller_says_of_trailers_ends_nobodys_call(
    gateway: Edge, stranger: httpx.AsyncClient, wanted: str
) -> None:
    headers = {"content-type": "application/grpc", "te": wanted}
    answer = await stranger.post(GET_KEYS, content=EMPTY_MESSAGE, headers=headers)
    assert (answer.status_code, answer.headers.get("grpc-status", "0")) == (200, "0")
    assert await calls_of_others(gateway) == {200}


@pytest.mark.parametrize("trailer", ["grpc-timeout", "a-bin", "x!"])
async def test_what_comes_after_a_body_ends_nobodys_call(gateway: Edge, trailer: str) -> None:
    asks = b"\x83\x86\x04" + text(GET_KEYS) + b"\x01" + text("petpro") + b"\x0f\x10" + text("application/grpc")
    ends = b"\x00" + text(trailer) + text("1.5S")
    said = [frame(4, 0, 0), frame(1, 4, 1, asks), frame(0, 0, 1, EMPTY_MESSAGE), frame(1, 5, 1, ends)]
    host, _, port = gateway.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(said))
    answered = False
    while not answered:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3], "big"))
        answered = head[3] == 0  # a message, which no refusal has
        assert not (head[3] == 1 and head[4] & 1), "refused"
    writer.close()
    assert await calls_of_others(gateway) == {200}
