"""The gateway and the services behind it prove themselves to each other, where certificates are given."""

from pathlib import Path

import httpx
import pytest

from petpro_common.testing.certificates import Authority
from petpro_common.tls import server_credentials
from petpro_gateway.policy import Policy
from services.gateway.tests.edge import SERVICES, running
from services.gateway.tests.servicers import Upstream

OURS = Authority()


@pytest.mark.parametrize(
    ("authority", "at", "status"),
    [
        pytest.param(OURS, "127.0.0.1", 200, id="of our authority, where it says that it is"),
        pytest.param(OURS, "127.0.0.2", 503, id="of our authority, and somebody else"),
        pytest.param(Authority(), "127.0.0.1", 503, id="of another authority"),
    ],
)
async def test_the_gateway_calls_services_that_prove_themselves(
    policy: Policy, tmp_path: Path, authority: Authority, at: str, status: int
) -> None:
    of_services = authority.issue(tmp_path / "services", at)
    own = OURS.issue(tmp_path / "own")
    (of_services / "ca.crt").write_bytes((own / "ca.crt").read_bytes())  # the services do trust the gateway
    server, address = await Upstream().serve(server_credentials(str(of_services)))
    async with running(policy, dict.fromkeys(SERVICES, address), tmp_path, str(own), has_keys=False) as edge:
        assert (await _clinics(edge.url)).status_code == status
    await server.stop(None)


async def test_services_do_not_answer_a_gateway_without_a_certificate(policy: Policy, tmp_path: Path) -> None:
    server, address = await Upstream().serve(server_credentials(str(OURS.issue(tmp_path / "services"))))
    async with running(policy, dict.fromkeys(SERVICES, address), tmp_path, has_keys=False) as edge:
        assert (await _clinics(edge.url)).status_code == httpx.codes.SERVICE_UNAVAILABLE
    await server.stop(None)


async def _clinics(url: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        return await client.get("/v1/clinics")
