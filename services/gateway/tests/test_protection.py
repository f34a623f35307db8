"""What stands between strangers and the services: CORS, rate limits; and what the log tells."""

import asyncio
import time

import grpc
import httpx
import pytest
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from services.gateway.tests.edge import Edge

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,idempotency-key"}


async def test_a_preflight_of_a_known_page_is_answered_without_token(web: httpx.AsyncClient) -> None:
    headers = PREFLIGHT | {"origin": "http://localhost:3000"}
    answer = await web.request("OPTIONS", "/v1/bookings/one:cancel", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "idempotency-key" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000.evil.example/x", "null"])
async def test_a_preflight_of_a_strange_page_allows_nothing(web: httpx.AsyncClient, origin: str) -> None:
    answer = await web.request("OPTIONS", "/v1/bookings/one:cancel", headers=PREFLIGHT | {"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_known_page_may_read_errors_of_the_gateway_too(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/users/me", headers={"origin": "http://localhost:3000"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "http://localhost:3000")


async def test_too_many_calls_are_told_to_wait(web: httpx.AsyncClient, channel: aio.Channel) -> None:
    began, let_in = time.monotonic(), 0
    while (refused := await web.post("/v1/auth/refresh", json={"refresh_token": "mine"})).is_success:
        let_in += 1
    assert 3 <= let_in <= 4 + (time.monotonic() - began), "the last second may count whole"
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, 8, "1")
    info, retry = refused.json()["details"]
    assert (info["reason"], info["domain"], retry["retry_delay"]) == ("RATE_LIMITED", "gateway.petpro", "1s")
    assert (await web.get("/v1/clinics")).status_code == 200
    await asyncio.sleep(1.1)
    assert (await web.post("/v1/auth/refresh", json={"refresh_token": "mine"})).status_code == 200


async def test_who_calls_too_often_holds_up_nobody_at_another_address(web: httpx.AsyncClient, edge: Edge) -> None:
    while (await web.post("/v1/auth/refresh", json={"refresh_token": "mine"})).is_success:
        pass
    next_door = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(base_url=edge.url, transport=next_door, trust_env=False) as neighbour:
        assert (await neighbour.post("/v1/auth/refresh", json={"refresh_token": "theirs"})).status_code == 200


async def test_too_many_calls_over_grpc_are_resource_exhausted(channel: aio.Channel) -> None:
    account = account_pb2_grpc.AccountServiceStub(channel)
    with pytest.raises(aio.AioRpcError) as refused:  # noqa: PT012 -- which of them is refused depends on the clock
        for _ in range(100):
            await account.RefreshToken(account_pb2.RefreshTokenRequest(refresh_token="mine"))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_log_tells_of_calls_but_not_of_secrets(
    web: httpx.AsyncClient, edge: Edge, dewi: dict[str, str]
) -> None:
    await web.get("/v1/clinics?query=secret-illness", headers=dewi | {"x-request-id": "logged"})
    async with asyncio.timeout(60):
        while not any(line["request_id"] == "logged" for line in edge.access_log()):
            await asyncio.sleep(0.1)
    line = next(line for line in edge.access_log() if line["request_id"] == "logged")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/clinics", 200)
    assert line["route"] == "petpro.catalog.v1.CatalogService/ListClinics"
    written = edge.log.read_text()
    assert "secret-illness" not in written
    assert dewi["authorization"].split(".")[1] not in written


async def test_metrics_are_open_but_the_admin_is_not(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=f"http://{edge.metrics}", trust_env=False) as scraper:
        assert "envoy_http_downstream_rq_total" in (await scraper.get("/metrics")).text
        assert (await scraper.get("/ready")).status_code == 200
        assert (await scraper.post("/quitquitquit")).status_code == 404
        assert (await scraper.get("/config_dump")).status_code == 404


async def test_a_gateway_that_drains_says_so_and_still_serves(web: httpx.AsyncClient, edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=f"http://{edge.admin}", trust_env=False) as admin:
        assert (await web.get("/healthz")).status_code == 200
        await admin.post("/healthcheck/fail")
        assert (await web.get("/healthz")).status_code == 503
        assert (await web.get("/v1/clinics")).status_code == 200
        await admin.post("/healthcheck/ok")
        assert (await web.get("/healthz")).status_code == 200
