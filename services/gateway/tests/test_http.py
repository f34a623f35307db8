"""HTTP and JSON in, gRPC out: what a web or mobile app sees."""

import httpx
import pytest

from services.gateway.tests.servicers import BEGUN_BOOKING, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

MILO = "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55"
BOOKING = "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a66"


def error_info(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/json"
    details: list[dict[str, object]] = answer.json()["details"]
    assert details[0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    return details[0]


async def test_query_parameters_become_fields_and_absent_values_are_printed(
    web: httpx.AsyncClient, upstream: Upstream
) -> None:
    answer = await web.get("/v1/clinics", params={"city": "Jakarta", "page_size": 1, "latitude": -6.2})
    assert answer.status_code == 200
    clinic = answer.json()["clinics"][0]
    assert (clinic["name"], clinic["city"], clinic["status"]) == ("Klinik Sehat", "", "CLINIC_STATUS_UNSPECIFIED")
    asked = upstream.last.request
    assert (asked.city, asked.page_size, asked.latitude, asked.HasField("longitude")) == ("Jakarta", 1, -6.2, False)


@pytest.mark.parametrize("city", ["Tanjung+Pinang", "Tanjung%20Pinang"])
async def test_a_space_in_a_query_may_be_written_in_both_ways(
    web: httpx.AsyncClient, upstream: Upstream, city: str
) -> None:
    assert (await web.get(f"/v1/clinics?city={city}&page_size=1")).status_code == 200
    assert upstream.last.request.city == "Tanjung Pinang"


async def test_a_verb_after_a_colon_reaches_its_method(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    answer = await web.post(f"/v1/bookings/{BOOKING}:cancel", headers=dewi, json={"reason": "Milo is well"})
    assert answer.json()["booking"]["id"] == BOOKING
    assert (upstream.last.method, upstream.last.request.reason) == ("CancelBooking", "Milo is well")


async def test_an_unknown_verb_is_not_taken_for_an_id(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    answer = await web.get(f"/v1/bookings/{BOOKING}:explode", headers=dewi)
    assert (answer.status_code, error_info(answer)["reason"]) == (404, "ROUTE_NOT_FOUND")


async def test_a_patch_carries_its_mask_in_the_query(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    path = f"/v1/pets/{MILO}?update_mask=name,photo_url"
    answer = await web.patch(path, headers=dewi, json={"name": "Milo", "photo_url": "https://pets.example/milo"})
    assert answer.json()["pet"]["photo_url"] == "https://pets.example/milo"
    asked = upstream.last.request
    assert (asked.pet_id, list(asked.update_mask.paths)) == (MILO, ["name", "photo_url"])


async def test_an_answer_larger_than_every_buffer_arrives_whole(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/clinics", params={"page_size": 100})
    assert (answer.status_code, len(answer.json()["clinics"]), len(answer.content) > 3_000_000) == (200, 100, True)


async def test_a_webhook_arrives_byte_for_byte_with_its_signature(web: httpx.AsyncClient, upstream: Upstream) -> None:
    body = b'{"id":  "evt_1",\n "type":"payment.succeeded"}\xff'
    headers = {"Sandbox-Signature": "t=1,v1=ab", "content-type": "application/json"}
    answer = await web.post("/v1/webhooks/sandbox", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})
    call = upstream.last
    assert (call.request.provider, call.request.body.data) == ("sandbox", body)
    assert call.request.body.content_type == "application/json"
    assert call.metadata["sandbox-signature"] == "t=1,v1=ab"


async def test_the_idempotency_key_travels_as_metadata(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    await web.post(f"/v1/bookings/{BOOKING}:cancel", headers=dewi | {"Idempotency-Key": "once-1"}, json={})
    assert upstream.last.metadata["idempotency-key"] == "once-1"


async def test_a_call_has_an_id_that_the_client_may_choose(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    named = await web.get("/v1/users/me", headers=dewi | {"X-Request-Id": "my-own"})
    assert (named.headers["x-request-id"], upstream.last.metadata["x-request-id"]) == ("my-own", "my-own")
    unnamed = await web.get("/v1/users/me", headers=dewi)
    assert len(unnamed.headers["x-request-id"]) == 36
    assert upstream.last.metadata["x-request-id"] == unnamed.headers["x-request-id"]


async def test_headers_that_only_we_may_set_are_stripped(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    forged = {
        "x-petpro-role": "admin",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-original-path": "/elsewhere",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "grpc-timeout": "9H",
    }
    answer = await web.get("/v1/users/me", headers=dewi | forged)
    assert answer.status_code == 200
    seen = upstream.last.metadata
    assert {"x-petpro-role", "x-envoy-upstream-rq-timeout-ms", "x-forwarded-host"}.isdisjoint(seen)
    assert (seen["x-forwarded-proto"], seen["x-envoy-original-path"]) == ("http", "/v1/users/me")
    assert upstream.last.seconds_left is not None
    assert upstream.last.seconds_left < 5.5


async def test_the_default_timeout_becomes_a_deadline(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    assert 4 < await upstream.deadline(lambda: web.get("/v1/users/me", headers=dewi), at_least=4) < 5.5


async def test_a_refusal_of_a_service_keeps_all_its_details(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    answer = await web.post(f"/v1/bookings/{BEGUN_BOOKING}:cancel", headers=dewi, json={})
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (400, 9, "It has begun.")
    assert error_info(answer) == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "WRONG_BOOKING_STATUS",
        "domain": "booking.petpro",
        "metadata": {"status": "completed"},
    }
    _, bad_request, retry_info = answer.json()["details"]
    assert bad_request["field_violations"][0]["field"] == "reason"
    assert retry_info == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "2s"}


@pytest.mark.parametrize("body", ['{"reason": ', '{"reason": {"is": "no text"}}', "[]"])
async def test_a_body_that_cannot_be_read_is_400(web: httpx.AsyncClient, dewi: dict[str, str], body: str) -> None:
    answer = await web.post(f"/v1/bookings/{BOOKING}:cancel", headers=dewi, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert error_info(answer)["reason"] == "INVALID_REQUEST"
    assert error_info(answer)["domain"] == "gateway.petpro"


@pytest.mark.parametrize("query", ["colour=red", "page_size=many"])
async def test_a_query_that_no_contract_knows_is_400(web: httpx.AsyncClient, query: str) -> None:
    answer = await web.get(f"/v1/clinics?{query}")
    assert (answer.status_code, error_info(answer)["reason"]) == (400, "INVALID_REQUEST")
    assert query.split("=")[0] in answer.json()["message"]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", f"/v1/bookings/{BOOKING}:cancel?booking_id={MILO}"),
        ("POST", f"/v1/bookings/{BOOKING}:cancel?bookingId={MILO}"),
        ("POST", f"/v1/bookings/{BOOKING}:cancel?%62ooking%5Fid={MILO}"),
        ("POST", f"/v1/bookings/{BOOKING}:cancel?reason=theirs"),
        ("GET", f"/v1/bookings/{BOOKING}?booking_id={MILO}"),
        ("DELETE", f"/v1/pets/{MILO}?pet_id={BOOKING}"),
        ("PATCH", f"/v1/pets/{MILO}?update_mask=name&petId={BOOKING}"),
        ("PATCH", f"/v1/pets/{MILO}?&pet.name=Q"),
        ("PATCH", f"/v1/pets/{MILO}?p%65t.name=Q"),
        ("POST", "/v1/webhooks/sandbox?provider=xendit"),
    ],
)
async def test_what_path_or_body_say_cannot_be_said_otherwise_in_the_query(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str], verb: str, path: str
) -> None:
    calls = len(upstream.calls)
    body = None if verb in ("GET", "DELETE") else {"breed": "Persia"}
    answer = await web.request(verb, path, headers=dewi, json=body)
    assert (answer.status_code, answer.json()["code"], error_info(answer)["reason"]) == (400, 3, "INVALID_REQUEST")
    assert "query" in answer.json()["message"]
    assert len(upstream.calls) == calls


async def test_an_empty_query_says_nothing(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    assert (await web.post(f"/v1/bookings/{BOOKING}:cancel?", headers=dewi, json={})).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/pets/", "/petpro.account.v1.AccountService/GetUser"])
async def test_an_unknown_path_is_404(web: httpx.AsyncClient, path: str) -> None:
    answer = await web.get(path)
    assert (answer.status_code, answer.json()["code"], error_info(answer)["reason"]) == (404, 5, "ROUTE_NOT_FOUND")


async def test_a_known_path_with_another_method_is_405(web: httpx.AsyncClient) -> None:
    answer = await web.put("/v1/clinics", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert error_info(answer)["reason"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("path", "most"), [(f"/v1/bookings/{BOOKING}:cancel", 1 << 18), ("/v1/webhooks/sandbox", 1 << 16)]
)
async def test_a_body_over_the_limit_is_413(web: httpx.AsyncClient, dewi: dict[str, str], path: str, most: int) -> None:
    """The one is for people, the other for strangers."""
    around = len('{"reason":""}')
    answer = await web.post(path, headers=dewi, json={"reason": "x" * (most - around + 1)})
    assert (answer.status_code, error_info(answer)["reason"]) == (413, "BODY_TOO_LARGE")
    answer = await web.post(path, headers=dewi, json={"reason": "x" * (most - around)})
    assert answer.status_code != 413


async def test_a_body_just_under_the_limit_passes(
    web: httpx.AsyncClient, upstream: Upstream, dewi: dict[str, str]
) -> None:
    answer = await web.post("/v1/webhooks/sandbox", headers=dewi, content=b"x" * ((1 << 16) - 1))
    assert answer.status_code == 200
    assert len(upstream.last.request.body.data) == (1 << 16) - 1


async def test_a_method_that_no_service_serves_yet_is_501_as_json(web: httpx.AsyncClient, dewi: dict[str, str]) -> None:
    answer = await web.get("/v1/pets", headers=dewi)
    assert (answer.status_code, answer.json()["code"]) == (501, 12)


async def test_the_pages_come_from_our_own_origin(web: httpx.AsyncClient) -> None:
    document = await web.get("/openapi.json")
    assert document.json()["openapi"] == "3.1.0"
    page = await web.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await web.head("/docs")).status_code == 200
    assert (await web.post("/docs")).status_code == 405
