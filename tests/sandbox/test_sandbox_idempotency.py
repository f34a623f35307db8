"""The same key is the same request, whoever sends it how often and when."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from devstack.sandbox.testing import SandboxProcess, payment

INTENTS, REFUNDS = "/v1/payment_intents", "/v1/refunds"


def test_many_calls_at_once_under_one_key_take_the_money_once(sandbox: SandboxProcess) -> None:
    key, body = uuid4().hex, payment()
    with ThreadPoolExecutor(20) as at_once:
        answers = list(at_once.map(lambda _: sandbox.post(INTENTS, body, key=key), range(20)))
    assert Counter(answer.status_code for answer in answers) == {201: 20}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 19
    assert len(sandbox.get(INTENTS, reference=body["reference"])["data"]) == 1


def test_many_calls_at_once_under_one_key_give_the_money_back_once(sandbox: SandboxProcess) -> None:
    paid = sandbox.paid()
    key, reference = uuid4().hex, uuid4().hex
    with ThreadPoolExecutor(20) as at_once:
        answers = list(
            at_once.map(lambda _: sandbox.refund(paid["id"], "100000.00", key=key, reference=reference), range(20))
        )
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    (refund,) = sandbox.get(REFUNDS, reference=reference)["data"]
    assert refund["id"] == answers[0].json()["id"]


@pytest.mark.parametrize("changed", [{"amount": "250000.01"}, {"reference": "another"}, {"metadata": {"a": "b"}}])
def test_a_key_with_another_body_is_refused(sandbox: SandboxProcess, changed: dict[str, object]) -> None:
    key, body = uuid4().hex, payment()
    assert sandbox.post(INTENTS, body, key=key).status_code == 201
    refused = sandbox.post(INTENTS, {**body, **changed}, key=key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_reused")


def test_a_key_of_a_payment_is_refused_for_a_refund(sandbox: SandboxProcess) -> None:
    key = uuid4().hex
    paid = sandbox.paid(key=key)
    refused = sandbox.refund(paid["id"], "1.00", key=key)
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "idempotency_error")


def test_a_refusal_is_given_again_too(sandbox: SandboxProcess) -> None:
    key, body = uuid4().hex, payment("tok_declined")
    first, second = (sandbox.post(INTENTS, body, key=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (402, 402)
    assert first.json() == second.json()
    assert len(sandbox.get(INTENTS, reference=body["reference"])["data"]) == 1
