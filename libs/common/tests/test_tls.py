"""TLS between services, with real certificates: both sides prove themselves, and probes need none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from petpro_common import channels, rpc
from petpro_common.auth import ServiceTokens
from petpro_common.testing import KeyRing
from petpro_common.testing.certificates import Authority

pytestmark = pytest.mark.unit

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tokens(tmp_path: Path) -> ServiceTokens:
    return ServiceTokens("booking", KeyRing(tmp_path).service_key("booking"))


@pytest.fixture
async def address(authority: Authority, tmp_path: Path) -> AsyncIterator[str]:
    """Of a server that has a certificate in the folder `server`."""
    server = aio.server()
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set("", SERVING)
    port = rpc.listen(server, "127.0.0.1:0", tls_folder=str(authority.issue(tmp_path / "server")))
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def _answer(address: str, tokens: ServiceTokens, folder: Path | None) -> StatusCode:
    async with channels.channel(address, tokens, tls_folder=str(folder or "")) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # its stubs are not generated
        try:
            reply = await check(health_pb2.HealthCheckRequest())
        except aio.AioRpcError as refusal:
            return refusal.code()
        assert reply.status == SERVING
        return StatusCode.OK


async def test_services_with_certificates_of_one_authority_understand_each_other(
    address: str, authority: Authority, tokens: ServiceTokens, tmp_path: Path
) -> None:
    assert await _answer(address, tokens, authority.issue(tmp_path / "caller")) is StatusCode.OK


async def test_who_has_no_certificate_is_not_heard(address: str, tokens: ServiceTokens) -> None:
    assert await _answer(address, tokens, None) is StatusCode.UNAVAILABLE


async def test_a_caller_of_another_authority_is_not_heard(
    address: str, authority: Authority, tokens: ServiceTokens, tmp_path: Path
) -> None:
    stranger = Authority().issue(tmp_path / "stranger")
    (stranger / "ca.crt").write_bytes((tmp_path / "server/ca.crt").read_bytes())  # it does trust the server
    assert await _answer(address, tokens, stranger) is StatusCode.UNAVAILABLE


async def test_a_server_of_another_name_is_not_told_anything(
    address: str, authority: Authority, tokens: ServiceTokens, tmp_path: Path
) -> None:
    authority.issue(tmp_path / "server", "127.0.0.2")
    assert await _answer(address, tokens, authority.issue(tmp_path / "caller")) is StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_used_without_a_restart(
    address: str, tokens: ServiceTokens, tmp_path: Path
) -> None:
    renewed = Authority()
    caller = renewed.issue(tmp_path / "caller")
    assert await _answer(address, tokens, caller) is StatusCode.UNAVAILABLE
    renewed.issue(tmp_path / "server")
    assert await _answer(address, tokens, caller) is StatusCode.OK
