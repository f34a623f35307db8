"""SIGKILL takes back nothing that somebody was told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx

from devstack.sandbox.errors import Json
from devstack.sandbox.testing import Letterbox, SandboxProcess, eventually, payment

INTENTS = "/v1/payment_intents"
CALLERS = 8


def test_a_webhook_comes_after_a_crash_between_the_answer_and_its_delivery(
    own_sandbox: SandboxProcess, own_letterbox: Letterbox
) -> None:
    own_letterbox.status = 503
    paid = own_sandbox.paid()
    own_sandbox.kill()
    own_letterbox.letters.clear()
    own_letterbox.status = 200
    own_sandbox.start()
    (letter,) = own_letterbox.wait_for(paid["id"], "payment_intent.succeeded")
    assert letter.event["data"]["object"] == paid


def test_what_was_under_way_comes_to_its_end_after_a_crash(
    own_sandbox: SandboxProcess, own_letterbox: Letterbox
) -> None:
    processing = own_sandbox.paid("tok_processing:0.5")
    refund = own_sandbox.refund(own_sandbox.paid("tok_refund_slow")["id"], "250000.00").json()
    late = own_sandbox.paid("tok_webhook_late")
    own_sandbox.kill()
    own_sandbox.start()
    own_letterbox.wait_for(processing["id"], "payment_intent.succeeded")
    own_letterbox.wait_for(refund["id"], "refund.succeeded")
    own_letterbox.wait_for(late["id"], "payment_intent.succeeded")


def test_a_lost_answer_is_given_after_a_crash(own_sandbox: SandboxProcess) -> None:
    key, body = uuid4().hex, payment()
    first = own_sandbox.post(INTENTS, body, key=key)
    own_sandbox.kill()
    own_sandbox.start()
    again = own_sandbox.post(INTENTS, body, key=key)
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_crash_under_load_takes_no_money_twice_and_forgets_none(
    own_sandbox: SandboxProcess, own_letterbox: Letterbox
) -> None:
    calls: list[tuple[str, Json]] = []
    answered: dict[str, str] = {}
    under_load = threading.Event()

    def call_until_it_is_gone() -> None:
        while True:
            key, body = uuid4().hex, payment()
            calls.append((key, body))
            try:
                answered[key] = own_sandbox.post(INTENTS, body, key=key).text
            except httpx.TransportError:
                return
            if len(answered) > 20:
                under_load.set()

    with ThreadPoolExecutor(CALLERS) as at_once:
        running = [at_once.submit(call_until_it_is_gone) for _ in range(CALLERS)]
        under_load.wait()
        own_sandbox.kill()
        for each in running:
            each.result()
    assert len(calls) - len(answered) == CALLERS, "each had a call in hand"
    own_sandbox.start()
    for key, body in calls:
        again = own_sandbox.post(INTENTS, body, key=key)
        assert again.status_code == 201
        assert answered.get(key, again.text) == again.text
        (found,) = own_sandbox.get(INTENTS, reference=body["reference"])["data"]
        assert found == again.json()
        own_letterbox.wait_for(found["id"], "payment_intent.succeeded")
    eventually(lambda: all(event["pending_webhooks"] == 0 for event in own_sandbox.get("/v1/events")["data"]))
