"""Each test value of a payment does what it says, over real HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from devstack.sandbox.testing import Letterbox, SandboxProcess, eventually, payment

INTENTS = "/v1/payment_intents"


def status(sandbox: SandboxProcess, payment_id: str) -> str:
    return str(sandbox.get(f"{INTENTS}/{payment_id}")["status"])


def test_a_payment_that_works_is_captured_at_once_and_told(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid("tok_success", amount="250000", metadata={"clinic": "Klinik Satwa Sehat"})
    assert paid["status"] == "succeeded"
    assert (paid["amount"], paid["amount_captured"], paid["currency"]) == ("250000.00", "250000.00", "IDR")
    assert paid["metadata"] == {"clinic": "Klinik Satwa Sehat"}
    (letter,) = letterbox.wait_for(paid["id"], "payment_intent.succeeded")
    assert letter.event["data"]["object"] == paid == sandbox.get(f"{INTENTS}/{paid['id']}")


@pytest.mark.parametrize(
    ("token", "code"), [("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds")]
)
def test_a_declined_payment_fails_for_good(
    sandbox: SandboxProcess, letterbox: Letterbox, token: str, code: str
) -> None:
    answer = sandbox.pay(token)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (402, "payment_error", code)
    declined = error["payment_intent"]
    assert (declined["status"], declined["amount_captured"]) == ("failed", "0.00")
    assert declined["failure"]["code"] == code
    letterbox.wait_for(declined["id"], "payment_intent.failed")
    assert sandbox.refund(declined["id"], "1.00").json()["error"]["code"] == "payment_intent_not_captured"


def test_a_processing_payment_is_captured_after_a_while(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    accepted = sandbox.paid("tok_processing:0.3")
    assert accepted["status"] == "processing"
    letterbox.wait_for(accepted["id"], "payment_intent.processing", "payment_intent.succeeded")
    assert status(sandbox, accepted["id"]) == "succeeded"


@pytest.mark.parametrize(
    ("method", "action"), [("qris", "show_qris"), ("virtual_account", "transfer"), ("e_wallet", "redirect")]
)
def test_a_customer_pays_when_they_act(sandbox: SandboxProcess, letterbox: Letterbox, method: str, action: str) -> None:
    asked = sandbox.paid("", payment_method=method)
    assert (asked["status"], asked["next_action"]["type"]) == ("requires_action", action)
    answer = sandbox.post(f"/v1/test/payment_intents/{asked['id']}/pay")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer.json()["next_action"] is None
    assert [letter.event["type"] for letter in letterbox.wait_for(asked["id"], "payment_intent.succeeded")] == [
        "payment_intent.succeeded"
    ]


def test_a_customer_who_never_pays_lets_it_expire(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    asked = sandbox.paid("tok_requires_action")
    expired = sandbox.post(f"/v1/test/payment_intents/{asked['id']}/expire").json()
    assert (expired["status"], expired["cancellation_reason"]) == ("cancelled", "expired")
    letterbox.wait_for(asked["id"], "payment_intent.cancelled")
    refused = sandbox.post(f"/v1/test/payment_intents/{asked['id']}/pay")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "payment_intent_not_payable")


def test_money_can_come_late_and_in_another_amount(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    asked = sandbox.paid("", payment_method="virtual_account")
    sandbox.post(f"{INTENTS}/{asked['id']}/cancel")
    path = f"/v1/test/payment_intents/{asked['id']}/pay"
    paid = sandbox.post(path, {"late": True, "amount": "100000.00"}).json()
    assert (paid["status"], paid["amount"], paid["amount_captured"]) == ("succeeded", "250000.00", "100000.00")
    letterbox.wait_for(asked["id"], "payment_intent.cancelled", "payment_intent.succeeded")


def test_an_answer_that_is_lost_can_be_found_and_asked_for_again(sandbox: SandboxProcess) -> None:
    key, reference = uuid4().hex, uuid4().hex
    body = payment("tok_timeout_then_success", reference=reference)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        sandbox.post(INTENTS, body, key=key)
    (found,) = sandbox.get(INTENTS, reference=reference)["data"]
    assert (found["status"], found["amount_captured"]) == ("succeeded", "250000.00")
    again = sandbox.post(INTENTS, body, key=key)
    assert (again.status_code, again.json()) == (201, found)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_fault_of_the_provider_does_nothing_and_passes(sandbox: SandboxProcess) -> None:
    key, body = uuid4().hex, payment("tok_error_500_once")
    first = sandbox.post(INTENTS, body, key=key)
    assert (first.status_code, first.json()["error"]["type"]) == (500, "api_error")
    assert sandbox.get(INTENTS, reference=body["reference"])["data"] == []
    second = sandbox.post(INTENTS, body, key=key)
    assert (second.status_code, second.json()["status"]) == (201, "succeeded")


def test_a_webhook_can_come_twice(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid("tok_webhook_twice")
    first, second = eventually(lambda: copies if len(copies := letterbox.about(paid["id"])) == 2 else [])
    assert first.body == second.body


def test_a_webhook_can_come_late(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    asked = time.monotonic()
    paid = sandbox.paid("tok_webhook_late")
    (letter,) = letterbox.wait_for(paid["id"], "payment_intent.succeeded")
    assert letter.arrived - asked >= 1.5


def test_webhooks_can_come_out_of_order(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid("tok_webhook_out_of_order")
    refund = sandbox.refund(paid["id"], "250000.00").json()
    letterbox.wait_for(paid["id"], "payment_intent.processing")
    letterbox.wait_for(refund["id"], "refund.pending")
    assert letterbox.kinds(paid["id"]) == ["payment_intent.succeeded", "payment_intent.processing"]
    assert letterbox.kinds(refund["id"]) == ["refund.succeeded", "refund.pending"]
    happened = [event["type"] for event in sandbox.get("/v1/events", object=paid["id"])["data"]]
    assert happened == ["payment_intent.processing", "payment_intent.succeeded"]


def test_a_webhook_can_stay_away(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    silent = sandbox.paid("tok_webhook_never")
    letterbox.wait_for(sandbox.paid("tok_webhook_late")["id"], "payment_intent.succeeded")
    assert letterbox.about(silent["id"]) == []
    (event,) = sandbox.get("/v1/events", object=silent["id"])["data"]
    assert (event["type"], event["pending_webhooks"]) == ("payment_intent.succeeded", 0)


@pytest.mark.parametrize("token", ["tok_requires_action", "tok_processing:8"])
def test_a_payment_is_called_off_once(sandbox: SandboxProcess, letterbox: Letterbox, token: str) -> None:
    accepted = sandbox.paid(token)
    answers = [sandbox.post(f"{INTENTS}/{accepted['id']}/cancel") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["status"], answers[0].json()["cancellation_reason"]) == ("cancelled", "requested")
    letterbox.wait_for(accepted["id"], "payment_intent.cancelled")
    letterbox.wait_for(sandbox.paid("tok_webhook_late:8.5")["id"], "payment_intent.succeeded")
    assert letterbox.kinds(accepted["id"]).count("payment_intent.cancelled") == 1
    assert "payment_intent.succeeded" not in letterbox.kinds(accepted["id"])


def test_what_has_ended_cannot_be_called_off(sandbox: SandboxProcess) -> None:
    captured = sandbox.paid()["id"]
    failed = sandbox.pay("tok_declined").json()["error"]["payment_intent"]["id"]
    for payment_id, code in ((captured, "already_captured"), (failed, "already_failed")):
        refused = sandbox.post(f"{INTENTS}/{payment_id}/cancel")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, code)
        assert refused.json()["error"]["payment_intent"]["id"] == payment_id


def test_paying_against_calling_off_has_one_winner(sandbox: SandboxProcess) -> None:
    with ThreadPoolExecutor(2) as at_once:
        for _ in range(10):
            path = sandbox.paid("tok_requires_action")["id"]
            pay = at_once.submit(sandbox.post, f"/v1/test/payment_intents/{path}/pay")
            cancel = at_once.submit(sandbox.post, f"{INTENTS}/{path}/cancel")
            assert sorted([pay.result().status_code, cancel.result().status_code]) == [200, 409]


@pytest.mark.parametrize(("amount", "currency"), [("1200", "JPY"), ("19.99", "USD"), ("250000.00", "IDR")])
def test_each_currency_keeps_its_minor_unit(sandbox: SandboxProcess, amount: str, currency: str) -> None:
    paid = sandbox.paid(amount=amount, currency=currency)
    assert (paid["amount"], paid["amount_captured"], paid["currency"]) == (amount, amount, currency)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"amount": 250000}, "parameter_invalid", "amount"),
        ({"amount": 0.1}, "parameter_invalid", "amount"),
        ({"amount": "-1.00"}, "amount_invalid", "amount"),
        ({"amount": "10.50", "currency": "JPY"}, "amount_invalid", "amount"),
        ({"currency": "XXX"}, "currency_not_supported", "currency"),
        ({"payment_method": "cash"}, "parameter_invalid", "payment_method"),
        ({"payment_token": "4242424242424242"}, "payment_token_invalid", "payment_token"),
        ({"payment_token": ""}, "payment_token_invalid", "payment_token"),
        ({"reference": ""}, "parameter_invalid", "reference"),
        ({"metadata": {"paw": 4}}, "parameter_invalid", "metadata.paw"),
        ({"colour": "ginger"}, "parameter_unknown", "colour"),
    ],
)
def test_a_wrong_payment_is_refused_by_name(
    sandbox: SandboxProcess, fields: dict[str, Any], code: str, param: str
) -> None:
    key, reference = uuid4().hex, uuid4().hex
    refused = sandbox.pay(key=key, **{"reference": reference, **fields})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, code, param)
    assert sandbox.get(INTENTS, reference=reference)["data"] == []
    assert sandbox.pay(key=key).status_code == 201, "a refused call does not use up its key"
