"""The edges of the API: keys, routes, bodies, lists."""

from typing import Any
from uuid import uuid4

import pytest

from devstack.sandbox.testing import SandboxProcess, payment

INTENTS = "/v1/payment_intents"


@pytest.mark.parametrize("header", [None, "", "Bearer wrong", "Basic YTpi", "Bearer ünknown"])
def test_nobody_enters_without_the_key(sandbox: SandboxProcess, header: str | None) -> None:
    headers = {"Authorization": (header or "").encode()}
    for path in (INTENTS, "/v1/test/events/evt_1/resend", "/v1/nowhere"):
        refused = sandbox.ask("GET", path, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/payment_intents/pi_unknown", 404, "payment_intent_not_found"),
        ("POST", "/v1/payment_intents/pi_unknown/cancel", 404, "payment_intent_not_found"),
        ("POST", "/v1/test/payment_intents/pi_unknown/pay", 404, "payment_intent_not_found"),
        ("GET", "/v1/refunds/re_unknown", 404, "refund_not_found"),
        ("POST", "/v1/test/refunds/re_unknown/settle", 404, "refund_not_found"),
        ("GET", "/v1/events/evt_unknown", 404, "event_not_found"),
        ("POST", "/v1/test/events/evt_unknown/resend", 404, "event_not_found"),
        ("GET", "/v1/nowhere", 404, "route_unknown"),
        ("DELETE", "/v1/refunds", 405, "route_unknown"),
        ("POST", "/v1/payment_intents", 400, "idempotency_key_required"),
        ("POST", "/v1/refunds", 400, "idempotency_key_required"),
        ("GET", "/v1/payment_intents?limit=0", 400, "parameter_invalid"),
        ("GET", "/v1/payment_intents?limit=1000", 400, "parameter_invalid"),
        ("GET", "/v1/payment_intents?colour=ginger", 400, "parameter_unknown"),
        ("GET", "/v1/payment_intents?created_from=yesterday", 400, "parameter_invalid"),
        ("GET", "/v1/payment_intents?starting_after=pi_unknown", 400, "cursor_unknown"),
    ],
)
def test_every_refusal_has_the_one_shape(
    sandbox: SandboxProcess, method: str, path: str, status: int, code: str
) -> None:
    refused = sandbox.ask(method, path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "body_invalid"),
        (b"\xff\xfe\x00", "body_invalid"),
        (b"[" * 50_000, "body_invalid"),
        (b"[]", "parameter_invalid"),
        (b"null", "parameter_invalid"),
        (b"", "parameter_missing"),
        (b'"' + b"x" * 70_000 + b'"', "body_too_large"),
    ],
)
def test_a_body_that_is_no_payment_is_refused(sandbox: SandboxProcess, body: bytes, code: str) -> None:
    refused = sandbox.ask("POST", INTENTS, content=body, headers={"Idempotency-Key": uuid4().hex})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)


def test_a_list_is_read_page_by_page_oldest_first(sandbox: SandboxProcess) -> None:
    reference = uuid4().hex
    made = [sandbox.paid(reference=reference)["id"] for _ in range(5)]
    read: list[str] = []
    query: dict[str, Any] = {"reference": reference, "limit": 2}
    while True:
        page = sandbox.get(INTENTS, **query)
        read += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            break
        query["starting_after"] = read[-1]
    assert read == made


def test_a_list_is_narrowed_by_status_and_time(sandbox: SandboxProcess) -> None:
    reference = uuid4().hex
    first = sandbox.paid(reference=reference)
    second = sandbox.paid("tok_requires_action", reference=reference)

    def listed(**query: str) -> list[str]:
        return [item["id"] for item in sandbox.get(INTENTS, reference=reference, **query)["data"]]

    assert listed(status="succeeded") == [first["id"]]
    assert listed(created_from=second["created"]) == [second["id"]]
    assert listed(created_to=second["created"]) == [first["id"]]


def test_no_answer_shows_the_token(sandbox: SandboxProcess) -> None:
    answer = sandbox.post(INTENTS, payment("tok_requires_action"), key=uuid4().hex)
    assert "tok_" not in answer.text
