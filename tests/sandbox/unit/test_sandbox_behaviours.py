"""The test values read as they are documented."""

from pathlib import Path

import pytest

from devstack import sandbox
from devstack.sandbox.behaviours import BEHAVIOURS, plan
from devstack.sandbox.errors import InvalidRequest
from devstack.sandbox.settings import Timings

pytestmark = pytest.mark.unit

TIMINGS = Timings(settle=1.0, slow=10.0, late=5.0)


@pytest.mark.parametrize("token", BEHAVIOURS)
def test_every_test_value_is_documented(token: str) -> None:
    readme = (Path(sandbox.__file__).parent / "README.md").read_text()
    assert f"| `{token}` |" in readme


@pytest.mark.parametrize(
    ("token", "final", "delays"),
    [
        ("tok_success", True, (0.0,)),
        ("tok_webhook_twice", True, (0.0, 1.0)),
        ("tok_webhook_late", True, (5.0,)),
        ("tok_webhook_late:7.5", True, (7.5,)),
        ("tok_webhook_out_of_order", True, (0.0,)),
        ("tok_webhook_out_of_order", False, (5.0,)),
        ("tok_webhook_never", True, ()),
    ],
)
def test_copies_of_an_event_leave_as_the_test_value_says(token: str, final: bool, delays: tuple[float, ...]) -> None:
    assert plan(token, "card").webhook_delays(TIMINGS, final=final) == delays


@pytest.mark.parametrize(
    ("token", "delay"),
    [
        ("tok_success", 1.0),
        ("tok_refund_at_once", None),
        ("tok_refund_slow", 10.0),
        ("tok_refund_slow:2", 2.0),
        ("tok_refund_pending", None),
        ("tok_refund_pending:2", None),
        ("tok_refund_fails_later", 1.0),
    ],
)
def test_a_refund_settles_when_the_test_value_says(token: str, delay: float | None) -> None:
    assert plan(token, "card").refund_settling(TIMINGS) == delay


@pytest.mark.parametrize("method", ["qris", "virtual_account", "e_wallet"])
def test_without_a_token_the_customer_acts(method: str) -> None:
    assert plan("", method).token == "tok_requires_action"


@pytest.mark.parametrize("token", ["", "tok_unknown", "tok_success:", "tok_success:-1", "TOK_SUCCESS", "tok_success "])
def test_an_unknown_token_of_a_card_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest):
        plan(token, "card")
