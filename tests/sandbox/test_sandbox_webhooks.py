"""A webhook can be trusted when it is signed, and comes until it is taken."""

import re

from devstack.sandbox.testing import WEBHOOK_SECRET, Letter, Letterbox, SandboxProcess, eventually


def test_a_letter_is_signed_over_its_raw_body(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid()
    (letter,) = letterbox.wait_for(paid["id"], "payment_intent.succeeded")
    assert re.fullmatch(r"t=\d{10},v1=[0-9a-f]{64}", letter.signature)
    assert letter.is_signed_with(WEBHOOK_SECRET)
    assert not letter.is_signed_with("another secret")
    forged = letter.body.replace(b"250000.00", b"950000.00")
    assert forged != letter.body
    assert not Letter(letter.headers, forged, 0).is_signed_with(WEBHOOK_SECRET)
    later = re.sub(r"t=\d+", "t=2000000000", letter.signature)
    assert not Letter({"sandbox-signature": later}, letter.body, 0).is_signed_with(WEBHOOK_SECRET)


def test_a_letter_comes_again_until_it_is_taken(own_sandbox: SandboxProcess, own_letterbox: Letterbox) -> None:
    own_letterbox.status = 503
    paid = own_sandbox.paid()
    eventually(lambda: len(own_letterbox.about(paid["id"])) >= 3)
    (event,) = own_sandbox.get("/v1/events", object=paid["id"])["data"]
    assert event["pending_webhooks"] == 1
    own_letterbox.status = 200
    eventually(lambda: own_sandbox.get(f"/v1/events/{event['id']}")["pending_webhooks"] == 0)
    letters = own_letterbox.about(paid["id"])
    assert len({letter.body for letter in letters}) == 1
    assert all(letter.is_signed_with(WEBHOOK_SECRET) for letter in letters)


def test_a_copy_can_be_asked_for(sandbox: SandboxProcess, letterbox: Letterbox) -> None:
    paid = sandbox.paid("tok_webhook_never")
    (event,) = sandbox.get("/v1/events", object=paid["id"])["data"]
    assert sandbox.post(f"/v1/test/events/{event['id']}/resend").status_code == 200
    (letter,) = letterbox.wait_for(paid["id"], "payment_intent.succeeded")
    assert letter.event["id"] == event["id"]


def test_events_of_one_kind_are_listed(sandbox: SandboxProcess) -> None:
    declined = sandbox.pay("tok_declined").json()["error"]["payment_intent"]["id"]
    events = sandbox.get("/v1/events", type="payment_intent.failed", object=declined)["data"]
    assert [event["data"]["object"]["status"] for event in events] == ["failed"]
