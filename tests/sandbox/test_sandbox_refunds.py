"""Money goes back as the test value says, and never more than came in."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import httpx
import pytest

from devstack.sandbox.testing import Letterbox, SandboxProcess

REFUNDS = "/v1/refunds"


def accepted(sandbox: SandboxProcess, token: str, amount: str = "250000.00") -> str:
    """The id of a refund that was accepted."""
    answer = sandbox.refund(sandbox.paid(token)["id"], amount)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending"), answer.text
    return str(answer.json()["id"])


def status(sandbox: SandboxProcess, refund_id: str) -> str:
    return str(sandbox.get(f"{REFUNDS}/{refund_id}")["status"])


def test_a_refund_is_accepted_and_then_succeeds(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid()
    refund = sandbox.refund(paid["id"], "100000.00", reason="Kucing sudah sembuh").json()
    assert (refund["status"], refund["amount"], refund["currency"]) == ("pending", "100000.00", "IDR")
    assert refund["reason"] == "Kucing sudah sembuh"
    letterbox.wait_for(refund["id"], "refund.pending", "refund.succeeded")
    assert status(sandbox, refund["id"]) == "succeeded"
    after = sandbox.get(f"/v1/payment_intents/{paid['id']}")
    assert (after["amount_refunded"], after["amount_refund_pending"]) == ("100000.00", "0.00")


def test_a_refused_refund_never_exists(sandbox: SandboxProcess) -> None:
    paid = sandbox.paid("tok_refund_refused")
    refused = sandbox.refund(paid["id"], "250000.00")
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (402, "refund_error", "refund_refused")
    assert sandbox.get(REFUNDS, payment_intent=paid["id"])["data"] == []


@pytest.mark.parametrize(("verb", "end"), [("settle", "succeeded"), ("fail", "failed")])
def test_a_pending_refund_waits_for_the_bank(
    sandbox: SandboxProcess, letterbox: Letterbox, verb: str, end: str
) -> None:
    refund_id = accepted(sandbox, "tok_refund_pending")
    letterbox.wait_for(accepted(sandbox, "tok_refund_slow"), "refund.succeeded")
    assert status(sandbox, refund_id) == "pending"
    for _ in range(2):
        assert sandbox.post(f"/v1/test/refunds/{refund_id}/{verb}").json()["status"] == end
    letterbox.wait_for(refund_id, "refund.pending", f"refund.{end}")


def test_a_refund_at_once_is_done_in_its_answer_and_told_by_one_event(
    sandbox: SandboxProcess, letterbox: Letterbox
) -> None:
    refund = sandbox.refund(sandbox.paid("tok_refund_at_once")["id"], "250000.00").json()
    assert refund["status"] == "succeeded"
    letterbox.wait_for(refund["id"], "refund.succeeded")
    assert sandbox.get(f"/v1/payment_intents/{refund['payment_intent']}")["amount_refunded"] == "250000.00"


def test_a_slow_refund_takes_its_time(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid, asked = sandbox.paid("tok_refund_slow")["id"], time.monotonic()
    refund_id = sandbox.refund(paid, "250000.00").json()["id"]
    letters = letterbox.wait_for(refund_id, "refund.pending", "refund.succeeded")
    (last,) = [letter for letter in letters if letter.event["type"] == "refund.succeeded"]
    assert last.arrived - asked >= 0.5


def test_a_refund_whose_answer_is_lost_happens_once(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid("tok_refund_timeout")
    key, reference = uuid4().hex, uuid4().hex
    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.refund(paid["id"], "250000.00", key=key, reference=reference)
    again = sandbox.refund(paid["id"], "250000.00", key=key, reference=reference)
    assert again.status_code == 201
    (found,) = sandbox.get(REFUNDS, reference=reference)["data"]
    assert found["id"] == again.json()["id"]
    letterbox.wait_for(found["id"], "refund.succeeded")


def test_a_refund_that_fails_later_can_be_tried_again(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid("tok_refund_fails_later")
    first = sandbox.refund(paid["id"], "250000.00").json()
    letterbox.wait_for(first["id"], "refund.failed")
    assert sandbox.get(f"{REFUNDS}/{first['id']}")["failure"]["code"] == "refund_failed"
    assert sandbox.refund(paid["id"], "250000.00").status_code == 201


def test_a_refund_that_succeeded_can_be_reversed_but_not_the_other_way(
    sandbox: SandboxProcess, letterbox: Letterbox
) -> None:
    refund_id = accepted(sandbox, "tok_success")
    letterbox.wait_for(refund_id, "refund.succeeded")
    assert sandbox.post(f"/v1/test/refunds/{refund_id}/fail").json()["status"] == "failed"
    letterbox.wait_for(refund_id, "refund.failed")
    refused = sandbox.post(f"/v1/test/refunds/{refund_id}/settle")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "refund_failed")


def test_nothing_goes_back_before_it_came(sandbox: SandboxProcess) -> None:
    asked = sandbox.paid("tok_requires_action")
    refused = sandbox.refund(asked["id"], "1.00")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "payment_intent_not_captured")


def test_an_unknown_payment_has_no_refund(sandbox: SandboxProcess) -> None:
    refused = sandbox.refund("pi_unknown", "1.00")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "payment_intent_not_found")


def test_more_than_came_in_does_not_go_back(sandbox: SandboxProcess) -> None:
    refused = sandbox.refund(sandbox.paid()["id"], "250000.01")
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "refund_exceeds_captured")


@pytest.mark.parametrize("token", ["tok_success", "tok_refund_pending"])
def test_fifty_refunds_at_once_never_exceed_the_payment(sandbox: SandboxProcess, token: str) -> None:
    paid = sandbox.paid(token)
    with ThreadPoolExecutor(50) as at_once:
        answers = list(at_once.map(lambda _: sandbox.refund(paid["id"], "30000.00"), range(50)))
    outcomes = Counter(
        answer.json()["error"]["code"] if answer.is_error else answer.json()["status"] for answer in answers
    )
    assert outcomes == {"pending": 8, "refund_exceeds_captured": 42}
    refunds = sandbox.get(REFUNDS, payment_intent=paid["id"])["data"]
    assert sum(Decimal(refund["amount"]) for refund in refunds) == Decimal("240000.00")


def test_two_full_refunds_at_once_are_not_both_accepted(sandbox: SandboxProcess) -> None:
    paid = sandbox.paid()
    with ThreadPoolExecutor(2) as at_once:
        answers = list(at_once.map(lambda _: sandbox.refund(paid["id"], "250000.00"), range(2)))
    assert sorted(answer.status_code for answer in answers) == [201, 402]
