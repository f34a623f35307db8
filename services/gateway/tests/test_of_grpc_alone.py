"""What gRPC itself reads of a call's headers, sent by somebody who does not mean it or does not mean well."""

import httpx
import pytest

from petpro.catalog.v1 import catalog_pb2
from services.gateway.tests.servicers import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST_CLINICS = "/petpro.catalog.v1.CatalogService/ListClinics"
EMPTY = b"\0\0\0\0\0"
WEB = {"content-type": "application/grpc-web+proto"}
CALLS = 60
"""As many as failed after one that could not be read, and some more."""


async def of_others(web: httpx.AsyncClient) -> list[int]:
    """What others are answered, one after the other: over HTTP, and so on a connection that all share."""
    return [(await web.get("/v1/clinics")).status_code for _ in range(CALLS)]


@pytest.mark.parametrize("timeout", ["1.5S", "x", "1x", "-5m", "5000", "", "123456789S", "1s", "S"])
async def test_a_time_out_that_cannot_be_read_harms_nobody(web: httpx.AsyncClient, timeout: str) -> None:
    answer = await web.post(LIST_CLINICS, content=EMPTY, headers=WEB | {"grpc-timeout": timeout})
    assert answer.status_code == 200
    assert b"grpc-status:0" in answer.content
    assert await of_others(web) == [200] * CALLS


async def test_a_time_out_that_can_be_read_counts(web: httpx.AsyncClient, upstream: Upstream) -> None:
    headers = WEB | {"grpc-timeout": "3S"}
    assert 2 < await upstream.deadline(lambda: web.post(LIST_CLINICS, content=EMPTY, headers=headers), at_least=2) < 3.5


@pytest.mark.parametrize(
    "header",
    [
        {"a-bin": "x"},
        {"grpc-trace-bin": "not base64 !"},
        {"grpc-encoding": "x"},
        {"grpc-status": "x"},
        {"grpc-previous-rpc-attempts": "x"},
        {"grpc-retry-pushback-ms": "x"},
        {"grpc-timeout": "x"},
        {"grpc-accept-encoding": "x"},
        {"grpc-message": "%"},
    ],
    ids=lambda header: next(iter(header)),
)
async def test_what_is_of_grpc_alone_does_not_end_a_call(web: httpx.AsyncClient, header: dict[str, str]) -> None:
    assert (await web.get("/v1/clinics", headers=header)).status_code == 200
    answer = await web.post(LIST_CLINICS, content=EMPTY, headers=WEB | header)
    assert b"grpc-status:0" in answer.content
    assert await of_others(web) == [200] * CALLS


async def test_a_body_that_is_said_to_be_packed_is_unpacked_by_the_service(web: httpx.AsyncClient) -> None:
    answer = await web.post(LIST_CLINICS, content=EMPTY, headers=WEB | {"grpc-encoding": "gzip"})
    size = int.from_bytes(answer.content[1:5], "big")
    assert catalog_pb2.ListClinicsResponse.FromString(answer.content[5 : 5 + size]) is not None
